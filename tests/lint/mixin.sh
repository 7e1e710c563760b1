#!/usr/bin/env bash
# mixin.sh [ROOT]: dashboards/grafana and dashboards/alerts are what dashboards/mixin.libsonnet says, and that is formatted.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}/dashboards"
[ -f mixin.libsonnet ] || exit 0
failures=0

for file in *.libsonnet lib/*.libsonnet; do
  jsonnetfmt --test "$file" || { echo "dashboards/$file: run jsonnetfmt -i on it"; failures=1; }
done

rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT
./render.py "$rendered"
for folder in grafana alerts; do
  while IFS= read -r line; do
    echo "dashboards/$folder: $line: run dashboards/render.py"
    failures=1
  done < <(diff -rq --exclude=tests "$folder" "$rendered/$folder" | sed "s#$rendered/##g" || true)
done
exit $failures
