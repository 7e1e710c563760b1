#!/usr/bin/env bash
# dnsbl.sh BUILD_FOLDER [PAIRS] [ADDRESSES] [ZONES] [RATE]: databases by the ten thousand addresses, asked of a local rbldnsd through
# ajar's own book, resolver and loop.
# 1. One round at RATE questions a second of each zone: nothing is lost, nothing is wrong, the budget is kept and used.
# 2. The CPU of a question, compared with dnsperf, which sends the same questions as quickly and does nothing with the answers:
#    pairs, one after the other and interleaved; the ratio is taken pair by pair, because a shared machine's speed drifts.
# 3. The memory of a question in flight, with 10,000 of them; and what readers of so many listings cost.
# Fails when a question is lost, when the median ratio is over 2, or when a question in flight takes more than 4 KiB.
set -euo pipefail
build=${1:?usage: dnsbl.sh BUILD_FOLDER [PAIRS] [ADDRESSES] [ZONES] [RATE]}
pairs=${2:-5} addresses=${3:-10000} zones=${4:-20} rate=${5:-500}
in_flight=10000
max_ratio=2.0 max_bytes=4096

work=$(mktemp -d)
server=
finish() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
chmod 755 "$work"  # rbldnsd gives up root's rights
PATH=$PATH:/usr/sbin

names=()
for ((i = 0; i < zones; ++i)); do names+=("bl$i.test:ip4set:zone"); done
"$build/dnsbl_bench" zone "$addresses" > "$work/zone"
"$build/dnsbl_bench" names "$addresses" "$zones" > "$work/names"

# A free port: one that rbldnsd can bind.
for _ in $(seq 20); do
  port=$((20000 + RANDOM % 10000))
  rbldnsd -n -4 -b 127.0.0.1/$port -w "$work" "${names[@]}" > "$work/log" 2>&1 & server=$!
  for _ in $(seq 100); do
    grep -q ' started ' "$work/log" && break 2
    kill -0 $server 2>/dev/null || break
    sleep 0.05
  done
done
kill -0 $server || { cat "$work/log"; echo "rbldnsd did not start" >&2; exit 1; }

value() { awk -v key="$2" '{ for (i = 1; i < NF; ++i) if ($i == key) print $(i + 1) }' "$1"; }
failures=0
failed() { echo "FAILED: $*"; failures=1; }


ask() { timeout 600 "$build/dnsbl_bench" run "$addresses" "$zones" "$1" "$port" > "$work/ajar" || true; }

# One round within a budget.
ask "$rate"
lost=$(value "$work/ajar" lost) wrong=$(value "$work/ajar" wrong)
awk -v budget=$((rate * zones)) '{
  for (i = 2; i < NF; i += 2) v[$i] = $(i + 1)
  printf "one round: %d questions, %d of %d listings known, %d wrong, %d questions unanswered at first, asked in %.1f s: %.0f a second of %d budgeted, %.1f us of CPU a question\n",
         v["queries"], v["known"], v["known"] + v["lost"], v["wrong"], v["unanswered"], v["wall_s"], v["known"] / v["wall_s"], budget, v["cpu_us_per_query"]
}' "$work/ajar"
[ "${lost:-1}" = 0 ] || failed "$lost questions were lost"
[ "${wrong:-1}" = 0 ] || failed "$wrong listings are wrong"
awk -v budget=$((rate * zones)) '{ for (i = 2; i < NF; i += 2) v[$i] = $(i + 1); exit v["known"] / v["wall_s"] > budget * 1.1 }' "$work/ajar" ||
  failed "more questions a second than the budget allows"

# The same questions by dnsperf, at the same pace: EDNS, one socket, as many in flight as the book allows (64 a zone).
perf() {
  TIMEFORMAT='cpu_s %U %S'
  { time timeout 600 dnsperf -s 127.0.0.1 -p "$port" -d "$work/names" -n 1 -c 1 -T 1 -e -q $((64 * zones)) -Q $((rate * zones)) \
    -t 5 > "$work/dnsperf"; } 2> "$work/times"
  awk -v sent="$(awk '/Queries sent:/ { print $3 }' "$work/dnsperf")" '/cpu_s/ { printf "cpu_us_per_query %.2f\n", ($2 + $3) * 1e6 / sent }' "$work/times"
}
: > "$work/pairs"
for ((i = 0; i < pairs; ++i)); do
  if ((i % 2)); then order="dnsperf ajar"; else order="ajar dnsperf"; fi
  for who in $order; do
    if [ $who = ajar ]; then ask "$rate"; else perf > "$work/perf"; fi
  done
  echo "$(value "$work/ajar" cpu_us_per_query) $(value "$work/perf" cpu_us_per_query)" >> "$work/pairs"
done
awk '{ print $1 / $2, $1, $2 }' "$work/pairs" | sort -n > "$work/sorted"
awk -v max=$max_ratio -v pace=$((rate * zones)) '
  { ratio[NR] = $1; ajar[NR] = $2; perf[NR] = $3 }
  END {
    middle = int((NR + 1) / 2)
    printf "DNSBL questions, %d a second: ajar / dnsperf = %.2f [%.2f-%.2f] of %d pairs; in the middle pair %.1f us and %.1f us of CPU a question\n",
           pace, ratio[middle], ratio[1], ratio[NR], NR, ajar[middle], perf[middle]
    exit ratio[middle] > max
  }' "$work/sorted" || failed "more than $max_ratio times the CPU of dnsperf"

timeout 120 "$build/dnsbl_bench" hold $in_flight > "$work/hold" || failed "$in_flight questions could not be kept in flight"
bytes=$(value "$work/hold" bytes_per_question)
echo "memory: $bytes bytes a question with $(value "$work/hold" questions) in flight (resident set of the process)"
[ "$bytes" -le $max_bytes ] || failed "more than $max_bytes bytes a question in flight"

timeout 300 "$build/dnsbl_bench" show "$addresses" "$zones" > "$work/show" || failed "the listings could not be shown"
sed 's/^ajar /readers of /' "$work/show"
exit $failures
