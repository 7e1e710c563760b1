#!/usr/bin/env bash
# alert_tests.sh [ROOT]: the unit tests of the alert rules, dashboards/alerts/tests/*.yml.
set -uo pipefail
cd "${1:-$(dirname "$0")/../..}/dashboards/alerts/tests" 2>/dev/null || exit 0

# One after the other they take a minute.
one() {
  local said
  said=$(promtool test rules "$1" 2>&1) && return 0
  printf 'dashboards/alerts/tests/%s:\n%s\n' "$1" "$said"
  return 1
}
export -f one
printf '%s\0' *.yml | xargs -0 -n 1 -P "$(nproc)" bash -c 'one "$1"' _
