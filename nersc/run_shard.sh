#!/bin/bash
# One shard of a run for sites without our farm: bash nersc/run_shard.sh PRESET RUN SHARDS NUMBER FOLDER [OPTIONS]
# Shard NUMBER (from 0; an element of an array) becomes run RUN + NUMBER, one of SHARDS. It is made in a temporary folder
# and moved when it is whole: what has its name in FOLDER is finished. OPTIONS go to gm2sim run.
set -euo pipefail
fail() { echo "run_shard.sh: $*" >&2; exit 2; }
[ $# -ge 5 ] || fail "run_shard.sh PRESET RUN SHARDS NUMBER FOLDER [OPTIONS]"
preset=$1 run=$2 shards=$3 number=$4 folder=$5
shift 5
for value in "$run" "$shards" "$number"; do
  case $value in ''|*[!0-9]*) fail "'$value' is no number" ;; esac
done
[ "$number" -lt "$shards" ] || fail "shard $number is none of 0 to $((shards - 1))"
mine=$((run + number))
# No folder with more than a thousand others in it.
place=$folder/$(printf '%05d/run%05d' $((number / 1000)) "$mine")
if [ -d "$place" ]; then
  echo "$place is finished"
  exit 0
fi
work=$folder/.unfinished/run$(printf '%05d' "$mine")
mkdir -p "$work" "$(dirname "$place")"
# A fill is never made twice: whoever was ended goes on (exit code 75 says that there is more to do).
resume=()
[ -e "$work/config.toml" ] && resume=(--resume)
begin=$(date +%s)
code=0
"${GM2SIM:-gm2sim}" run "$preset" --run "$mine" --out "$work" "${resume[@]}" "$@" >> "$work/log" 2>&1 || code=$?
echo "run $mine: exit code $code after $(($(date +%s) - begin)) s on $(hostname)" >> "$work/log"
if [ "$code" != 0 ]; then
  tail -n 2 "$work/log" >&2
  exit "$code"
fi
sync
mv -T "$work" "$place"
echo "$place is finished"
