#!/bin/bash
# Installs gm2sim into a folder of its own: bash nersc/install.sh FOLDER [EXTRAS]
# FOLDER has bin/, lib/ (a Python environment), modules/ and share/. Twice is once. EXTRAS: mpi (default), gpu-cu12 ...
set -euo pipefail

fail() { echo "install.sh: $*" >&2; exit 2; }

[ $# -ge 1 ] && [ $# -le 2 ] || fail "say where: bash nersc/install.sh FOLDER [EXTRAS]"
case $1 in *[!A-Za-z0-9._/+=-]*) fail "'$1' has letters that module files do not like: choose another folder" ;; esac
extras=${2:-mpi}
case $extras in *[!a-z0-9,-]*) fail "'$extras' are no extras of gm2sim: see pyproject.toml" ;; esac
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ -f "$here/pyproject.toml" ] || fail "no pyproject.toml in '$here': keep nersc/ where it is"
mkdir -p "$1" || fail "'$1' cannot be made: choose another folder"
folder=$(cd "$1" && pwd)

# The newest Python that is there, by itself or as the site's module.
good() { command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
python=${PYTHON:-}
if [ -z "$python" ]; then
  if ! good python3 && command -v module >/dev/null 2>&1; then
    module load python >/dev/null 2>&1 || true
  fi
  for one in python3.13 python3.12 python3.11 python3; do
    if good "$one"; then python=$one; break; fi
  done
fi
[ -n "$python" ] && good "$python" || fail "gm2sim needs Python 3.11 or newer: module load python, or set PYTHON"

if [ ! -x "$folder/bin/python" ]; then
  echo "environment in $folder ..."
  # Copies of the interpreter, not links: the folder can be packed and unpacked elsewhere.
  "$python" -m venv --copies "$folder" || fail "'$python' has no venv: choose another with PYTHON=..."
fi

# What was installed last; the same again costs nothing.
wanted=$(cd "$here" && { echo "$extras"; find gpu fields tracking decay detectors gm2sim nersc pyproject.toml -type f \
  ! -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum; } | sha256sum | cut -d' ' -f1)
if [ "$(cat "$folder/.gm2sim.installed" 2>/dev/null)" != "$wanted" ]; then
  echo "gm2sim[$extras] ..."
  if command -v uv >/dev/null 2>&1; then
    uv pip install --quiet --python "$folder/bin/python" --reinstall-package gm2sim "$here[$extras]"
  else
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade --force-reinstall --no-deps "$here"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$here[$extras]"
  fi
  echo "$wanted" > "$folder/.gm2sim.installed"
fi

mkdir -p "$folder/modules/gm2sim" "$folder/share/jupyter/kernels/gm2sim"
version=$("$folder/bin/python" -c 'import gm2sim; print(gm2sim.__version__)')
filled() { sed -e "s|@FOLDER@|$folder|g" -e "s|@VERSION@|$version|g" "$here/nersc/$1" > "$2.new" && mv "$2.new" "$2"; }
filled modules/gm2sim.lua "$folder/modules/gm2sim/$version.lua"
filled modules/gm2sim.tcl "$folder/modules/gm2sim/$version"
filled jupyter/kernel.json "$folder/share/jupyter/kernels/gm2sim/kernel.json"
filled jupyter/kernel.sh "$folder/share/jupyter/kernels/gm2sim/kernel.sh"
chmod +x "$folder/share/jupyter/kernels/gm2sim/kernel.sh"

# Checks: the program starts, its libraries are whole.
"$folder/bin/python" -m pip check >/dev/null || fail "the libraries do not fit together: pip check in $folder/bin"
"$folder/bin/gm2sim" presets >/dev/null || fail "gm2sim does not start: run $folder/bin/gm2sim presets"
echo "gm2sim $version is in $folder: module use $folder/modules; module load gm2sim"
