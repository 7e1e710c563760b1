#!/usr/bin/env bash
# systemd_unit.sh [ROOT]: config/ajar.service is a unit that systemd understands, hardened to 2.0 or better by its own measure, and still
# allowed what ajar needs. Needs Debian's `systemd` for systemd-analyze; without it only the last part is looked at.
set -uo pipefail
cd "${1:-$(dirname "$0")/../..}"
unit=config/ajar.service
[ -f $unit ] || exit 0
failures=0
complain() {
  echo "$unit: $1"
  failures=1
}

if command -v systemd-analyze > /dev/null; then
  # The program is not installed where this runs.
  said=$(systemd-analyze verify --man=no $unit 2>&1 | grep -v 'ajar is not executable: No such file or directory$' || true)
  [ -z "$said" ] || complain "systemd-analyze verify: $said"
  # The threshold is in tenths.
  if ! said=$(systemd-analyze security --no-pager --offline=true --threshold=20 $unit 2>&1); then
    complain "systemd-analyze security: above 2.0: $(tail -1 <<< "$said")"
    grep -E '^✗' <<< "$said"
  fi
else
  echo "systemd_unit.sh: skipped in part: systemd-analyze is missing (Debian: apt-get install systemd)" >&2
fi

# What a stricter unit would take away: needs DIRECTIVE VALUE WHY.
needs() {
  grep -qE "^$1=(.* )?$2( .*)?\$" $unit || complain "$1=$2 is missing: $3"
}
needs Type notify 'the agent says when it is ready'
needs WatchdogSec '[0-9]+s' 'a loop that hangs is started again'
needs AmbientCapabilities CAP_NET_BIND_SERVICE 'the canary listens on ports below 1024'
needs CapabilityBoundingSet CAP_NET_BIND_SERVICE 'the canary listens on ports below 1024'
needs StateDirectory ajar 'the database and the secret'
needs RestrictAddressFamilies AF_INET 'probes'
needs RestrictAddressFamilies AF_INET6 'probes'
needs RestrictAddressFamilies AF_UNIX 'sd_notify'
needs SystemCallFilter @system-service 'the network'
for forbidden in PrivateNetwork=yes PrivateUsers=yes IPAddressDeny= InaccessiblePaths=.*/etc TemporaryFileSystem=.*/etc ; do
  ! grep -qE "^$forbidden" $unit || complain "$forbidden takes away what ajar needs: ports below 1024, the network or /etc/ajar"
done
exit $failures
