#!/usr/bin/env bash
# run.sh BUILD_FOLDER [REPETITIONS] [HOSTS]: what does a closed dialog cost with ajar's engine, compared with a plain C epoll client
# that says the same bytes? Pairs, one after the other and interleaved; CPU of the client alone; the ratio is taken pair by pair,
# because a shared machine's speed drifts. Then: what does a probe in flight cost in memory, with 10,000 of them?
# And: what do two loops with a thread each ask while one asks as much, in the CPU time of the busier of them?
# Fails when the median ratio is over 2, a probe in flight takes more than 4 KiB, or two loops ask less than 1.8 times as much.
set -euo pipefail
build=${1:?usage: run.sh BUILD_FOLDER [REPETITIONS] [HOSTS]}
repetitions=${2:-7} hosts=${3:-3000}
port=2526 in_flight=1000 probes=10000
max_ratio=2.0 max_bytes=4096 min_gain=1.8

work=$(mktemp -d)
fleet=
finish() {
  [ -z "$fleet" ] || kill "$fleet" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

start_fleet() {
  [ -z "$fleet" ] || { kill "$fleet"; wait "$fleet" 2>/dev/null || true; }
  : > "$work/fleet"
  "$build/fleet" "$1" $port 600 "${@:2}" > "$work/fleet" & fleet=$!
  for _ in $(seq 100); do
    grep -q ready "$work/fleet" && return
    kill -0 "$fleet" || exit 1
    sleep 0.05
  done
  echo "the fleet did not start" >&2
  exit 1
}

ulimit -n "$(ulimit -Hn)"
if [ "$(ulimit -n)" != unlimited ] && [ "$(ulimit -n)" -lt $((probes + 500)) ]; then
  echo "at most $(ulimit -n) descriptors are allowed here: the benchmark needs $((probes + 500))" >&2
  exit 1
fi

protocol_of() { case $1 in smtp*) echo smtp ;; http*) echo http ;; esac; }

# compare CHECK core|full [FLEET]
compare() {
  local check=$1 mode=$2 protocol kind
  protocol=$(protocol_of "$check")
  kind=${3:-$protocol}
  start_fleet "$kind"
  timeout 60 "$build/probe_bench" "$check" "$mode" dialog $port > "$work/dialog"
  : > "$work/pairs"
  for ((i = 0; i < repetitions; ++i)); do
    if ((i % 2)); then order="limit ajar"; else order="ajar limit"; fi
    for who in $order; do
      if [ "$who" = ajar ]; then
        timeout 300 "$build/probe_bench" "$check" "$mode" run "$hosts" $in_flight $port > "$work/ajar"
      else
        timeout 300 "$build/limit" "$protocol" "$work/dialog" "$hosts" $in_flight $port > "$work/limit"
      fi
    done
    awk '{ for (i = 1; i <= NF; ++i) if ($i == "cpu_us_per_host") print $(i + 1) }' "$work/ajar" "$work/limit" | xargs >> "$work/pairs"
  done
  awk '{ print $1 / $2, $1, $2 }' "$work/pairs" | sort -n > "$work/sorted"
  awk -v what="$check $mode, $kind" -v lines="$(wc -l < "$work/dialog")" -v max=$max_ratio '
    { ratio[NR] = $1; ajar[NR] = $2; limit[NR] = $3 }
    END {
      middle = int((NR + 1) / 2)
      printf "%s dialog (%d lines): ajar / plain C = %.2f [%.2f-%.2f] of %d pairs; in the middle pair %.0f us and %.0f us of CPU a host\n",
             what, lines, ratio[middle], ratio[1], ratio[NR], NR, ajar[middle], limit[middle]
      exit ratio[middle] > max
    }' "$work/sorted" || { echo "FAILED: more than $max_ratio times the CPU of a plain C client"; failures=1; }
}

weigh() {
  local check=$1 bytes
  start_fleet "$(protocol_of "$check")" hold
  timeout 120 "$build/probe_bench" "$check" core hold $probes $port > "$work/hold"
  bytes=$(awk '{ print $NF }' "$work/hold")
  echo "$check memory: $bytes bytes a probe with $probes in flight (resident set of the process, transcript and plan included)"
  [ "$bytes" -le $max_bytes ] || { echo "FAILED: more than $max_bytes bytes a probe in flight"; failures=1; }
}

# share CHECK core|full [FLEET]
share() {
  local check=$1 mode=$2 kind order threads
  kind=${3:-$(protocol_of "$check")}
  start_fleet "$kind"
  : > "$work/pairs"
  for ((i = 0; i < repetitions; ++i)); do
    if ((i % 2)); then order="2 1"; else order="1 2"; fi
    for threads in $order; do
      timeout 300 "$build/probe_bench" "$check" "$mode" threads "$threads" "$hosts" $in_flight $port > "$work/threads$threads"
    done
    awk '{ for (i = 1; i <= NF; ++i) if ($i == "busiest_cpu_s") print $(i + 1) }' "$work/threads1" "$work/threads2" | xargs >> "$work/pairs"
  done
  awk '{ print $1 / $2 }' "$work/pairs" | sort -n > "$work/sorted"
  awk -v what="$check $mode, $kind" -v min=$min_gain '
    { gain[NR] = $1 }
    END {
      middle = int((NR + 1) / 2)
      printf "%s on two loops: %.2f times the probes of one a second of CPU [%.2f-%.2f] of %d pairs\n", what, gain[middle], gain[1], gain[NR], NR
      exit gain[middle] < min
    }' "$work/sorted" || { echo "FAILED: two loops ask less than $min_gain times what one asks"; failures=1; }
}

failures=0
for mode in core full; do
  compare smtp_relay $mode
  compare smtp_relay $mode smtp-pipelining
  compare http_connect $mode
done
for check in smtp_relay http_connect; do weigh $check; done
share smtp_relay full smtp-pipelining
share http_connect core
exit $failures
