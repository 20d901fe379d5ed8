#!/bin/bash
# Files of runs into the catalogue, each read and compared with its metadata: bash nersc/declare.sh FOLDER DB DATASET
set -euo pipefail
folder=${1:?say what: declare.sh FOLDER DB DATASET} db=${2:?say the catalogue} dataset=${3:?say the data set, gm2sim_...}
program=${GM2SIM:-gm2sim}
[ -e "$db" ] || "$program" catalog init "$db"
"$program" catalog declare "$folder" --db "$db" --campaign "$dataset"
"$program" catalog query "tier=raw" --db "$db" --count --size
