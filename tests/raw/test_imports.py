"""Raw files are read where nothing else of the program is installed."""

import subprocess
import sys

ALLOWED = {"gm2sim", "numpy", "lz4", "crc32c"}
CODE = """
import sys
before = set(sys.modules)
import gm2sim.raw
own = sorted(name for name in sys.modules if name.startswith("gm2sim"))
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(" ".join(own))
print(" ".join(sorted(name for name in new if name not in sys.stdlib_module_names)))
"""


def test_raw_needs_numpy_and_check_sums_only() -> None:
    out = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    ours, packages = (line.split() for line in out.splitlines())
    assert {name for name in packages if not name.startswith("_")} <= ALLOWED
    assert not {"numba", "pydantic", "scipy", "matplotlib", "h5py"} & set(packages)
    outside = [name for name in ours if not name.startswith("gm2sim.raw") and name != "gm2sim"]
    assert set(outside) <= {"gm2sim.errors", "gm2sim.atomic"}
