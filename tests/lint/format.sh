#!/usr/bin/env bash
# format.sh [ROOT]: fails where clang-format-19 would change a file.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"
find checks config agent tests \( -name '*.h' -o -name '*.cc' -o -name '*.c' \) -print0 2>/dev/null | xargs -0r clang-format-19 --dry-run --Werror
