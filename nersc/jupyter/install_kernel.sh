#!/bin/bash
# Shows the kernel of an installation in Jupyter: bash nersc/jupyter/install_kernel.sh FOLDER
set -euo pipefail
folder=${1:?say where gm2sim was installed: install_kernel.sh FOLDER}
kernel=$folder/share/jupyter/kernels/gm2sim
[ -f "$kernel/kernel.json" ] || { echo "install_kernel.sh: no kernel in '$folder': run install.sh first" >&2; exit 2; }
"$folder/bin/python" -c 'import ipykernel' 2>/dev/null || "$folder/bin/python" -m pip install --quiet ipykernel
place=${JUPYTER_DATA_DIR:-$HOME/.local/share/jupyter}/kernels
mkdir -p "$place"
ln -sfn "$kernel" "$place/gm2sim"
echo "the kernel 'gm2sim' is in $place"
