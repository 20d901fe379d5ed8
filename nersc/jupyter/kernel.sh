#!/bin/bash
# Starts the kernel of a notebook in the environment of gm2sim.
set -euo pipefail
export HDF5_USE_FILE_LOCKING=FALSE OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
[ -n "${SCRATCH:-}" ] && export NUMBA_CACHE_DIR="$SCRATCH/gm2sim-compiled"
exec "@FOLDER@/bin/python" -m ipykernel_launcher -f "$1"
