#!/usr/bin/env bash
# format.sh [ROOT] [--fix]: names the files that clang-format-19 would change, or changes them.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"
files() { find checks config agent tests \( -name '*.h' -o -name '*.cc' -o -name '*.c' \) -print0 2>/dev/null; }
if [ "${2:-}" = --fix ]; then
  files | xargs -0r clang-format-19 -i
  exit 0
fi
failures=0
while IFS= read -r file; do
  echo "$file: clang-format-19 would change it: make format"
  failures=1
done < <(files | xargs -0r clang-format-19 --dry-run 2>&1 | sed -nE 's/^([^:]+):[0-9]+:[0-9]+: .*code should be clang-formatted.*/\1/p' | sort -u)
exit $failures
