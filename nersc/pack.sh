#!/bin/bash
# One archive of an installation, for nersc/stage_in.sh: bash nersc/pack.sh FOLDER ARCHIVE [COMPILED]
# COMPILED: a folder of compiled code (NUMBA_CACHE_DIR) to take along.
set -euo pipefail
folder=${1:?say what to pack: pack.sh FOLDER ARCHIVE [COMPILED]} archive=${2:?say where to: pack.sh FOLDER ARCHIVE}
[ -x "$folder/bin/python" ] || { echo "pack.sh: no Python in '$folder': run install.sh first" >&2; exit 2; }
part=$archive.$$.part
trap 'rm -f "$part"' EXIT
if [ -n "${3:-}" ]; then
  tar --create --file "$part" --directory "$folder" . --directory "$3" --transform 's|^\./gm2sim/|./compiled/gm2sim/|' ./gm2sim
else
  tar --create --file "$part" --directory "$folder" .
fi
sync "$part"
mv "$part" "$archive"
