#!/usr/bin/env bash
# speaks_of_itself.sh [ROOT]: the project speaks of itself alone. Fails where a file names the folders of one workplace or an issue by its
# number, which a reader of the repository cannot follow; or carries the markers of a merge.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"
# Written in pieces, so that this file does not find itself.
folders='/(wo''rk|ro''ot|ho''me/[a-z]+|tmp/w''t)/|\.lib''rary/'
issues='\b(iss''ue|pull req''uest|PR) #?[0-9]+'
markers='^(<<<<<''<<|>>>>>''>>) '
# grep -I: text only. Corpora and transcripts are what peers said.
if find . -type f -not -path './.git/*' -not -path './build/*' -not -path './state/*' -not -path './tests/fuzz/corpus/*' -not -name .git -print0 |
  xargs -0r grep -nHIiE "$folders|$issues|$markers"; then
  echo "The lines above speak of a place or a number that a reader of this repository cannot follow." >&2
  exit 1
fi
