#!/usr/bin/env bash
# contract.sh [ROOT]: dashboards, alert rules and documents may use only metrics that tests/golden/metrics.txt shows, or that stand in
# tests/golden/not_exported_yet.txt; and what stands there may not be exported meanwhile. A histogram's _bucket, _sum and _count are its
# own; a name that a recording rule defines (with a colon) is not ajar's.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"
golden=tests/golden/metrics.txt
promised=tests/golden/not_exported_yet.txt
# Where nothing emits metrics, nothing may use them.
[ -f $golden ] || golden=/dev/null
[ -f $promised ] || promised=/dev/null
failures=0

exported=$(sed -nE 's/^# TYPE ([a-z_0-9]+) .*/\1/p' $golden | sort -u)
histograms=$(sed -nE 's/^# TYPE ([a-z_0-9]+) histogram$/\1/p' $golden)
known=$(
  printf '%s\n' "$exported"
  for histogram in $histograms; do printf '%s\n' "$histogram"_{bucket,sum,count}; done
  # OpenMetrics names a counter's family without _total.
  sed -nE 's/^# TYPE ([a-z_0-9]+) counter$/\1_total/p' $golden
  grep -v '^#' $promised || true
)

while read -r name; do
  [ -n "$name" ] || continue
  echo "$promised: $name is exported now: take it out of this list"
  failures=1
done < <(grep -v '^#' $promised | grep -xF "$exported" || true)

while IFS=: read -r file line name; do
  [ -n "$name" ] || continue
  echo "$file:$line: $name is not in $golden"
  failures=1
done < <(find dashboards README.md -type f \( -name '*.json' -o -name '*.yml' -o -name '*.yaml' -o -name '*.md' -o -name '*.libsonnet' \) \
    -print0 2>/dev/null | xargs -0r grep -noHE '\bajar_[a-z_0-9]+' | grep -vE ":($(paste -sd '|' <<< "$known"))$" || true)
exit $failures
