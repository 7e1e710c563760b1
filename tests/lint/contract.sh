#!/usr/bin/env bash
# contract.sh [ROOT]: dashboards, alert rules and documents may use only metrics that tests/golden/metrics.txt shows. A histogram's
# _bucket, _sum and _count are its own; a name that a recording rule defines (with a colon) is not ajar's.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"
golden=tests/golden/metrics.txt
if [ ! -f $golden ]; then
  # Nothing emits metrics yet, so nothing may use them.
  golden=/dev/null
fi
known=$(sed -nE 's/^# TYPE ([a-z_0-9]+) .*/\1/p' $golden | sort -u)
failures=0
while IFS=: read -r file line name; do
  [ -n "$name" ] || continue
  base=$(sed -E 's/_(bucket|sum|count|total)$//' <<< "$name")
  grep -qxE "$name|$base|${base}_total" <<< "$known" && continue
  echo "$file:$line: $name is not in tests/golden/metrics.txt"
  failures=1
done < <(find dashboards README.md -type f \( -name '*.json' -o -name '*.yml' -o -name '*.yaml' -o -name '*.md' \) -print0 2>/dev/null |
  xargs -0r grep -noHE '\bajar_[a-z_0-9]+' || true)
exit $failures
