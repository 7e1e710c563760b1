#!/usr/bin/env bash
# layers.sh [ROOT]: fails on an upward include. checks <- config <- agent; tests see all. checks/ uses the standard library, fmt and
# the address conversions of <arpa/inet.h>; checks/wire/ is pure: the standard library, fmt and itself, no coroutine, no seam. The
# frames of HTTP/2 are those of nghttp2, which knows no socket.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"

failures=0
# complain FILE:LINE:INCLUDE WHY
complain() {
  echo "$1: $2"
  failures=1
}

# The includes of a folder as FILE:LINE:#include …, one a line.
includes() {
  find "$@" -name '*.h' -o -name '*.cc' | sort | xargs -r grep -nHE '^[[:space:]]*#[[:space:]]*include' || true
}

# allow ROOM PROJECT-FOLDERS LIBRARIES DEPTH…: what a room's files may include, as extended regular expressions.
check_room() {
  local room=$1 own=$2 libraries=$3 line header
  shift 3
  [ -d "$room" ] || return 0
  while IFS= read -r line; do
    [ -n "$line" ] || continue
    case $line in
      *'"'*)
        header=${line#*\"}; header=${header%%\"*}
        [[ $header =~ ^($own)$ ]] || [ "$header" = revision.h ] || complain "$line" "$room/ may include "…" only of: $own" ;;
      *'<'*)
        header=${line#*<}; header=${header%%>*}
        # The standard library's headers have neither a folder nor an ending.
        [[ $header =~ ^[a-z_0-9]+$ ]] || [[ $header =~ ^($libraries)$ ]] || complain "$line" "$room/ may not use this library" ;;
      *) complain "$line" "an include that this lint cannot read" ;;
    esac
  done < <(includes "$room" "$@")
}

check_room checks 'checks/.*' 'fmt/[a-z]+\.h|arpa/inet\.h|nghttp2/nghttp2\.h'
check_room checks/wire 'checks/wire/.*|checks/ip_address\.h' 'fmt/[a-z]+\.h|arpa/inet\.h|nghttp2/nghttp2\.h'
check_room config '(checks|config)/.*' 'fmt/[a-z]+\.h|toml\+\+/toml\.h|kainjow/mustache\.hpp|yaml-cpp/[a-z]+\.h|arpa/inet\.h|unistd\.h|sys/stat\.h'
check_room agent '(checks|config|agent)/.*' '.*'
exit $failures
