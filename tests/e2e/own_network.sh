#!/bin/sh
# own_network.sh PROGRAM [ARGUMENT...]: runs a test in a network namespace, where all loopback addresses and ports are its own: so
# these tests may run side by side. Where that is not to be had (no root), in everybody's network, one test after the other.
if unshare --net true 2>/dev/null; then
  exec unshare --net sh -c 'ip link set lo up && exec "$@"' sh "$@"
fi
exec flock "${TMPDIR:-/tmp}/ajar-e2e.lock" "$@"
