#!/usr/bin/env bash
# unpack_package.sh PACKAGE FOLDER: a Debian package whose place another one holds (every FTP server provides ftp-server), unpacked into
# FOLDER instead of installed. Nothing is done where it is there already. Exit 1 where it cannot be fetched.
set -euo pipefail
package=$1 folder=$2
[ ! -e "$folder/unpacked" ] || exit 0
mkdir -p "$folder"
cd "$folder"
timeout 120 apt-get -q download "$package" >&2 || { timeout 120 apt-get -q update >&2 && timeout 120 apt-get -q download "$package" >&2; }
dpkg -x "$package"_*.deb .
touch unpacked
