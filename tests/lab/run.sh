#!/usr/bin/env bash
# run.sh BUILD_FOLDER: the simulated servers and an agent that asks them (config/lab.toml), until Ctrl-C or until one of them ends.
# Leaves nothing running: both get SIGTERM at the end, and the kernel sends it should this script be killed.
set -uo pipefail
cd "$(dirname "$0")/../.."
build=${1:?usage: run.sh BUILD_FOLDER}
children=()

finish() {
  trap '' INT TERM
  kill "${children[@]}" 2>/dev/null
  for _ in $(seq 100); do
    kill -0 "${children[@]}" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "${children[@]}" 2>/dev/null
  wait
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p state/lab
setpriv --pdeathsig TERM "$build/ajar-lab" & children+=($!)
setpriv --pdeathsig TERM "$build/ajar" run --config config/lab.toml & children+=($!)

for _ in $(seq 200); do
  if curl -fsS -o /dev/null --max-time 2 http://127.0.0.1:9925/-/ready 2>/dev/null; then
    printf '\n    ajar is at  http://127.0.0.1:9925/   (metrics: http://127.0.0.1:9925/metrics)   Ctrl-C ends it\n\n'
    break
  fi
  kill -0 "${children[@]}" 2>/dev/null || break
  sleep 0.1
done
wait -n "${children[@]}"
status=$?
echo "one of the two programs ended (exit $status)" >&2
exit "$status"
