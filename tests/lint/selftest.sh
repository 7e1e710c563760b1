#!/usr/bin/env bash
# Shows that each lint can fail: every one is run on a tree that is clean but for one line, and must pass without that line and name it
# with it.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failures=0

fresh() {
  rm -rf "${tree:?}"/*
  mkdir -p "$tree"/{checks/wire,config,agent,tests/golden,dashboards}
  cp "$here/../../.clang-format" "$here/../../.clang-tidy" "$tree/"
  printf '# TYPE ajar_exposure_level gauge\n# TYPE ajar_probe_duration_seconds histogram\n' > "$tree/tests/golden/metrics.txt"
}

# Of a long text its first line.
brief() { if [ ${#1} -lt 500 ]; then echo "$1"; else echo "${1%%$'\n'*} …"; fi; }

# refuses LINT FILE TEXT: the lint fails with the text in the file, says the file's name, and passes without it.
refuses() {
  local lint=$1 file=$2 text=$3 said
  fresh
  if ! said=$("$here/$lint" "$tree" 2>&1); then
    echo "FAILED: $lint fails on a clean tree: $said"; failures=1; return
  fi
  printf '%s\n' "$text" > "$tree/$file"
  if said=$("$here/$lint" "$tree" 2>&1) || [[ $said != *"$file"* ]]; then
    echo "FAILED: $lint lets pass in $file: $(brief "$text")"; failures=1; return
  fi
  echo "ok: $lint refuses: $(brief "$text")"
}

# takes LINT FILE TEXT: the lint has nothing against it.
takes() {
  local lint=$1 file=$2 text=$3 said
  fresh
  printf '%s\n' "$text" > "$tree/$file"
  if ! said=$("$here/$lint" "$tree" 2>&1); then
    echo "FAILED: $lint refuses in $file: $(brief "$text"): $said"; failures=1; return
  fi
  echo "ok: $lint takes: $(brief "$text")"
}

refuses layers.sh checks/a.cc '#include "agent/loop.h"'
refuses layers.sh checks/a.h '#include "config/config.h"'
refuses layers.sh checks/a.cc '#include <sys/socket.h>'
refuses layers.sh checks/a.cc '#include <openssl/ssl.h>'
refuses layers.sh checks/wire/a.h '#include "checks/network.h"'
refuses layers.sh config/a.cc '#include "agent/scope.h"'
refuses layers.sh agent/a.cc '#include "tests/lab/lab.h"'
takes layers.sh checks/a.cc $'#include <fmt/format.h>\n#include <string>\n#include "checks/wire/smtp_reply.h"'

in_coroutine() { printf 'Task<void> f(Link& link) {\n  %s\n}\n' "$1"; }
refuses co_await_alone.py checks/a.cc "$(in_coroutine 'co_await g(Agg{1, s});')"
refuses co_await_alone.py checks/a.cc "$(in_coroutine 'co_await g({s});')"
refuses co_await_alone.py checks/a.cc "$(in_coroutine 'co_await g([s] { return s; });')"
refuses co_await_alone.py checks/a.cc "$(in_coroutine 'co_await g(yes ? s : t);')"
refuses co_await_alone.py checks/a.cc "$(in_coroutine 'const int x = yes ? co_await g(s) : 0;')"
refuses co_await_alone.py checks/a.cc "$(in_coroutine 'const int x = yes ? 0 : co_await g(s);')"
refuses co_await_alone.py checks/a.cc "$(in_coroutine 'co_await g(co_await h(s));')"
refuses co_await_alone.py checks/a.cc "$(in_coroutine 'Pair x = {co_await g(s), 1};')"
refuses co_await_alone.py checks/a.cc "$(in_coroutine 'auto x = Pair{co_await g(s), 1};')"
refuses co_await_alone.py checks/a.cc "$(in_coroutine 'const std::lock_guard lock(mutex_); co_await g(s);')"
refuses co_await_alone.py checks/a.h 'Task<void> f(std::string_view text);'
refuses co_await_alone.py checks/a.cc 'Task<std::optional<std::vector<int>>> Class::f(int a, std::string_view text) {}'
refuses co_await_alone.py checks/a.cc 'auto f = [this]() -> Task<void> { co_return; };'
takes co_await_alone.py checks/a.cc "$(in_coroutine 'if (co_await g(a[1]) > 1) { const int x = yes ? 1 : 2; }')"
takes co_await_alone.py checks/a.cc "$(in_coroutine 'switch (x) { case 1: co_await g(s); break; default: co_await h(s); }')"
takes co_await_alone.py checks/a.cc "$(in_coroutine '{ const std::lock_guard lock(mutex_); } const Reply r = co_await g(s + "{?[" + t);')"
takes co_await_alone.py checks/a.cc 'auto f = [](Link* link) -> Task<void> { co_await link->say(line); };'

refuses format.sh checks/a.cc 'int   x;'
takes format.sh checks/a.cc 'int x;'
refuses speaks_of_itself.sh README.md "see /wo""rk/notes.md"
refuses speaks_of_itself.sh agent/a.cc "// fixes iss""ue #12"
refuses speaks_of_itself.sh agent/a.cc '<<<<<''<< HEAD'
takes speaks_of_itself.sh agent/a.cc '// the network/work folder'
refuses contract.sh dashboards/a.json '{"expr": "ajar_exposure_levels > 3"}'
refuses contract.sh dashboards/a.yml 'expr: ajar_nothing_total'
takes contract.sh dashboards/a.yml 'expr: ajar_probe_duration_seconds_bucket + ajar_exposure_level'

# unit_with FROM TO: our unit with that change, which stands in its first line too.
unit=$(cat "$here/../../config/ajar.service")
unit_with() { printf '# %s -> %s\n%s\n' "$1" "$2" "${unit/"$1"/"$2"}"; }
takes systemd_unit.sh config/ajar.service "$(unit_with Restart= Restart=)"
refuses systemd_unit.sh config/ajar.service "$(unit_with Type=notify Type=simple)"
refuses systemd_unit.sh config/ajar.service "$(unit_with 'AF_INET AF_INET6' AF_INET)"
refuses systemd_unit.sh config/ajar.service "$(unit_with PrivateTmp=yes PrivateUsers=yes)"
if command -v systemd-analyze > /dev/null; then
  refuses systemd_unit.sh config/ajar.service "$(unit_with ProtectHome= ProtectHomes=)"
  refuses systemd_unit.sh config/ajar.service "$(unit_with CapabilityBoundingSet= 'CapabilityBoundingSet=CAP_SYS_ADMIN CAP_SYS_PTRACE CAP_SYS_MODULE ')"
fi

# clang-tidy, with a compilation database as g++ leaves it.
fresh
mkdir "$tree/build"
cat > "$tree/build/compile_commands.json" <<JSON
[{"directory": "$tree", "file": "agent/a.cc", "command": "ccache g++ -std=gnu++20 -fpch-preprocess -Winvalid-pch -include $tree/build/cmake_pch.hxx -o a.o -c agent/a.cc"}]
JSON
echo 'int f(int x) { return x; }' > "$tree/agent/a.cc"
if ! said=$("$here/clang_tidy.py" "$tree/build" "$tree" 2>&1); then
  echo "FAILED: clang_tidy.py fails on a clean file: $said"; failures=1
elif [[ $("$here/clang_tidy.py" "$tree/build" "$tree" 2>&1) != *" 0 looked at"* ]]; then
  echo "FAILED: clang_tidy.py looks again at what did not change"; failures=1
fi
echo 'int f(int x) { if (x = 1) return 2; return *static_cast<int*>(nullptr); }' > "$tree/agent/a.cc"
if said=$("$here/clang_tidy.py" "$tree/build" "$tree" 2>&1) || [[ $said != *agent/a.cc* ]]; then
  echo "FAILED: clang_tidy.py lets an assignment in a condition and a null dereference pass"; failures=1
else
  echo "ok: clang_tidy.py"
fi
exit $failures
