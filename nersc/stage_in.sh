#!/bin/bash
# Unpacks an archive on this node's own disk, once however many processes ask, and says where it is:
#   here=$(bash nersc/stage_in.sh ARCHIVE)
# Folders of compiled code in it are used when NUMBA_CACHE_DIR is set to $here/compiled.
set -euo pipefail
archive=${1:?say what: stage_in.sh ARCHIVE}
[ -f "$archive" ] || { echo "stage_in.sh: there is no '$archive': make it with pack.sh" >&2; exit 2; }
base=${GM2SIM_NODE_FOLDER:-${TMPDIR:-/tmp}}/gm2sim-node-$(id -u)
mkdir -p -m 700 "$base"
# What lies there is executed: it must be ours, and nobody else's to write.
[ -O "$base" ] && [ ! -L "$base" ] || { echo "stage_in.sh: '$base' belongs to somebody else: set GM2SIM_NODE_FOLDER" >&2; exit 2; }
chmod 700 "$base"
# Name, size and time of the archive: a new one is another folder.
key=$(stat --format='%n %s %Y' "$(readlink -f "$archive")" | sha256sum | cut -c1-16)
place=$base/$key
exec 9> "$base/$key.lock"
flock 9
if [ ! -d "$place" ]; then
  part=$(mktemp -d "$base/.part-XXXXXX")
  trap 'rm -rf "$part"' EXIT
  tar --extract --file "$archive" --directory "$part"
  mv "$part" "$place"
fi
echo "$place"
