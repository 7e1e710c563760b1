#!/usr/bin/env bash
# run.sh BUILD_FOLDER SECONDS JOBS: builds every fuzzer and runs each for so long, from the corpus in the repository. New inputs go to
# BUILD_FOLDER/corpus, a crash stops with its input named.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$1 seconds=$2 jobs=$3
names=()
for source in tests/fuzz/*.cc; do
  name=$(basename "$source" .cc)
  [ "$name" = replay_main ] || names+=("$name")
done
[ ${#names[@]} -gt 0 ] || { echo "there is no fuzzer" >&2; exit 1; }
cmake --build "$build" -j "$jobs" --target "${names[@]/#/fuzz_}"
for name in "${names[@]}"; do
  mkdir -p "$build/corpus/$name" "$build/crashes"
  echo "== $name, $seconds s"
  "$build/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$build/crashes/$name-" "$build/corpus/$name" "tests/fuzz/corpus/$name" 2> "$build/$name.log" ||
    { tail -n 40 "$build/$name.log"; echo "$name failed; its log is $build/$name.log" >&2; exit 1; }
  grep -E 'stat::number_of_executed_units|stat::average_exec_per_sec' "$build/$name.log"
done
