#!/usr/bin/env bash
# Installs the Debian packages of a purpose when they are missing: install_packages.sh build|test|fuzz|bench|pictures …
# As root, or by `sudo -n`; otherwise prints the one line to run and fails. Services that a package brings are not started: the tests
# start their own, and a developer's machine should not gain a mail server.
set -euo pipefail

build=(ccache ninja-build cmake g++ make git pkg-config libevent-dev libc-ares-dev libssl-dev libsqlite3-dev libcli11-dev libfmt-dev
  libspdlog-dev nlohmann-json3-dev prometheus-cpp-dev libcpp-httplib-dev libtomlplusplus-dev zlib1g-dev libbrotli-dev
  libcmark-gfm-dev libcmark-gfm-extensions-dev libsystemd-dev libkainjow-mustache-dev libyaml-cpp-dev
  libcrypt-dev libnghttp2-dev libjemalloc-dev)
format=(clang-format-19)
test=(libgtest-dev libgmock-dev clang-format-19 clang-tidy-19 postfix squid tinyproxy dante-server nginx-light prometheus
  prometheus-alertmanager jsonnet swaks rbldnsd unbound python3 python3-yaml python3-jsonschema curl openssl procps systemd
  chromium fonts-dejavu-core coturn dnsmasq-base vsftpd nghttp2-proxy haproxy stunnel4 apache2-bin sasl2-bin libsasl2-modules
  libnginx-mod-stream iproute2)
# Whoever has npm from elsewhere keeps it: Debian's would want another Node.js.
command -v npm > /dev/null || test+=(nodejs npm)
pictures=(prometheus chromium python3)
bench=(libgtest-dev libgmock-dev python3 rbldnsd dnsperf nmap prometheus-blackbox-exporter wrk hopm swaks)
fuzz=(clang-19 libclang-rt-19-dev libgtest-dev libgmock-dev)

wanted=()
for purpose in "$@"; do
  case $purpose in
    build) wanted+=("${build[@]}") ;;
    format) wanted+=("${format[@]}") ;;
    test) wanted+=("${test[@]}") ;;
    bench) wanted+=("${bench[@]}") ;;
    fuzz) wanted+=("${fuzz[@]}") ;;
    pictures) wanted+=("${pictures[@]}") ;;
    *) echo "install_packages.sh: no package list is named '$purpose' (build, format, test, bench, fuzz, pictures)" >&2; exit 2 ;;
  esac
done

missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
  as_root=(env)
elif sudo -n true 2>/dev/null; then
  as_root=(sudo -n env)
else
  echo "Debian packages are missing, and this user may not install them. Run:" >&2
  echo "    sudo DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 1
fi

policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy > /dev/null
  "${as_root[@]}" chmod 755 $policy
  trap '"${as_root[@]}" rm -f $policy' EXIT
fi
echo "Installing: ${missing[*]}" >&2
echo 'postfix postfix/main_mailer_type select No configuration' | "${as_root[@]}" debconf-set-selections
"${as_root[@]}" apt-get -q update >&2 || echo "apt-get update failed; trying with the package lists that are here" >&2
"${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}" >&2
