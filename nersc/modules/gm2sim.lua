help([[gm2sim @VERSION@: simulation of the Fermilab Muon g-2 experiment]])
whatis("Name: gm2sim")
whatis("Version: @VERSION@")
prepend_path("PATH", "@FOLDER@/bin")
prepend_path("JUPYTER_PATH", "@FOLDER@/share/jupyter")
setenv("GM2SIM_FOLDER", "@FOLDER@")
-- Locks of HDF5 fail on some parallel file systems; files have one writer each here.
setenv("HDF5_USE_FILE_LOCKING", "FALSE")
-- Linear algebra rounds differently with other numbers of threads: one everywhere.
setenv("OMP_NUM_THREADS", "1")
setenv("OPENBLAS_NUM_THREADS", "1")
local scratch = os.getenv("SCRATCH") or os.getenv("PSCRATCH")
if scratch then
  setenv("NUMBA_CACHE_DIR", pathJoin(scratch, "gm2sim-compiled"))
end
