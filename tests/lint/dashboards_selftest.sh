#!/usr/bin/env bash
# Shows that the lints of dashboards/ can fail: each is run on a copy, and must pass, and refuse it with one thing changed.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failures=0

fresh() {
  rm -rf "${tree:?}"/*
  mkdir -p "$tree/tests/golden" "$tree/dashboards"
  cp "$root"/tests/golden/*.txt "$tree/tests/golden/"
  cp -r "$root"/dashboards/{*.*,lib,grafana,alerts,runbooks,provisioning} "$tree/dashboards/"
}

# refuses LINT, then pairs of a command and words: each command is run in dashboards/ and must change something; after all of them the lint
# fails, and says the words of each.
refuses() {
  local lint=$1 said before
  shift
  fresh
  local words=()
  while [ $# -gt 0 ]; do
    before=$(sums)
    if ! (cd "$tree/dashboards" && eval "$1") || [ "$(sums)" = "$before" ]; then
      echo "FAILED: this changes nothing: $1"; failures=1
    fi
    words+=("$2")
    shift 2
  done
  if said=$("$here/$lint" "$tree" 2>&1); then
    echo "FAILED: $lint lets pass: ${words[*]}"; failures=1; return
  fi
  for word in "${words[@]}"; do
    if [[ $said == *"$word"* ]]; then echo "ok: $lint says: $word"; else echo "FAILED: $lint does not say '$word': $said"; failures=1; fi
  done
}

# A command that changes nothing proves nothing.
sums() { (cd "$tree" && find . -type f -print0 | sort -z | xargs -0 cat | cksum; find "$tree" -printf '%P ') ; }

# Changes a dashboard by Python: d, and its panel p. A panel of its own for each change, so that one does not hide another.
json() { printf "python3 -c \"import json; f='grafana/ajar-agent.json'; d=json.load(open(f)); p=d['panels'][%s]; %s; json.dump(d, open(f, 'w'))\"" "$1" "$2"; }

for lint in contract.sh mixin.sh dashboards.py alerts.py alertmanager.py; do
  fresh
  said=$("$here/$lint" "$tree" 2>&1) || { echo "FAILED: $lint fails on what is right: $said"; failures=1; }
done

refuses contract.sh \
  'sed -i "s/ajar_probes_total/ajar_nothing_total/" grafana/ajar-agent.json' 'ajar_nothing_total is not in' \
  'echo ajar_vantage_up >> ../tests/golden/not_exported_yet.txt' 'ajar_vantage_up is exported now' \
  'sed -i /ajar_canary_up/d ../tests/golden/metrics.txt' 'ajar_canary_up is not in'

refuses mixin.sh \
  'sed -i "s/Probes by what they said/Probes/" grafana/ajar-agent.json' 'ajar-agent.json' \
  'sed -i "s/20m/30m/" config.libsonnet' 'ajar.rules.yml' \
  'sed -i "s/_config+:: {/_config+::   {/" config.libsonnet' 'jsonnetfmt'

refuses dashboards.py \
  "$(json 0 "del p['fieldConfig']['defaults']['noValue']")" 'nothing is said when there is no data' \
  "$(json 1 "p['title']=''")" 'no title' \
  "$(json 2 "del p['description']")" 'no description' \
  "$(json 3 "del p['fieldConfig']['defaults']['unit']")" 'no unit' \
  "$(json 4 "p['targets'][0]['datasource']['uid']='abc'")" 'query A does not use the datasource variable' \
  "$(json 5 "p['datasource']=None")" '"Version": does not use the datasource variable' \
  "$(json 6 "p['id']=1")" 'the id 1 is taken' \
  "$(json 7 "p['gridPos']['x']=0")" 'overlap' \
  "$(json 8 "p['gridPos']['w']=30")" 'wider than 24' \
  "$(json 9 "p['type']='gauge'")" 'type gauge' \
  "$(json 10 "p['targets'][0]['expr']=p['targets'][0]['expr'] + ' + sum(rate(process_cpu_seconds_total[5m]))'")" 'rate over [5m]' \
  "$(json 11 "p['targets'][0]['expr']='sum by verdict (up)'")" 'does not parse' \
  "$(json 12 "p['targets'][0]['expr']='up'")" 'up is not asked of the chosen agents alone' \
  "$(json 13 "p['targets'][0]['expr']+=' + ' + chr(36) + 'cheque'")" 'no variable' \
  'sed -i "s#/d/ajar-target#/d/ajar-tarjet#" grafana/ajar-detail.json' 'no dashboard has the uid ajar-tarjet'

refuses alerts.py \
  'sed -i "0,/severity: critical/s//severity: panic/" alerts/ajar.rules.yml' 'severity panic' \
  'sed -i "0,/evidence_url:/s//evidence:/" alerts/ajar.rules.yml' 'no evidence_url' \
  'sed -i "s/expr: ajar:exposure_level:held == 4/expr: ajar:exposure_level:hold == 4/" alerts/ajar.rules.yml' 'no rule records ajar:exposure_level:hold' \
  'sed -i "s/ajar:canary_down:held > 0/ajar:canary_down:held > /" alerts/ajar.rules.yml' 'promtool check' \
  'rm runbooks/AjarPaused.md' 'AjarPaused.md: is missing' \
  'cp runbooks/AjarListed.md runbooks/AjarGone.md' 'AjarGone.md: no alert has this name' \
  'sed -i "/^## Silence/d" runbooks/AjarListed.md' 'AjarListed.md: its sections' \
  'rm alerts/tests/AjarPaused.yml' 'AjarPaused fires in no test' \
  'sed -i "/^| .AjarPaused/d" README.md' 'README.md: AjarPaused' \
  'sed -i /AjarPaused/d alerts/tests/routes.txt' 'nothing says where AjarPaused goes' \
  'sed -i "s/AjarCanaryDown/AjarCanaryGone/" alertmanager.yml' 'no alert is called AjarCanaryGone' \
  'rm provisioning/prometheus/targets/ajar.json; rmdir provisioning/prometheus/targets' 'there is no such file' \
  'sed -i "s/alertmanager:v0.*/alertmanager:latest/" provisioning/compose.yml' 'has no version'

refuses alertmanager.py 'sed -i "s/owner = mail-team/owner = male-team/" alertmanager.yml' 'routes.txt: mail-team'
refuses alertmanager.py 'sed -i "s/receiver: sre-pager/receiver: sre-beeper/" alertmanager.yml' 'sre-beeper'
refuses alertmanager.py 'sed -i "s/AjarAgentDown|AjarAgentAbsent/AjarAgentAbsent/" alertmanager.yml' 'is not hidden'

refuses alert_tests.sh \
  'find alerts/tests -name "*.yml" ! -name AjarDoorOpen.yml ! -name AjarWatchdog.yml -delete' '' \
  'sed -i "s/< 120/< 0/" alerts/ajar.rules.yml' 'AjarDoorOpen.yml' \
  'sed -i "s/vector(1)/vector(1) > 1/" alerts/ajar.rules.yml' 'AjarWatchdog.yml'
exit $failures
