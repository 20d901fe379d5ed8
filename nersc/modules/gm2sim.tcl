#%Module1.0
proc ModulesHelp { } { puts stderr "gm2sim @VERSION@: simulation of the Fermilab Muon g-2 experiment" }
module-whatis "gm2sim @VERSION@: simulation of the Fermilab Muon g-2 experiment"
prepend-path PATH @FOLDER@/bin
prepend-path JUPYTER_PATH @FOLDER@/share/jupyter
setenv GM2SIM_FOLDER @FOLDER@
# Locks of HDF5 fail on some parallel file systems; files have one writer each here.
setenv HDF5_USE_FILE_LOCKING FALSE
# Linear algebra rounds differently with other numbers of threads: one everywhere.
setenv OMP_NUM_THREADS 1
setenv OPENBLAS_NUM_THREADS 1
if { [info exists ::env(SCRATCH)] } {
    setenv NUMBA_CACHE_DIR $::env(SCRATCH)/gm2sim-compiled
}
