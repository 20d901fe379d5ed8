"""The benchmarks table: what this machine does, beside its own limits and beside other codes."""

import sys
from pathlib import Path
from typing import Any

from gm2sim.errors import ConfigError


def bench(quick: bool = False) -> list[dict[str, Any]]:
    """Measure the speeds of tracker, chain and whole runs on this machine.

    The benchmarks are no part of the installed package: they are taken from the folder ``benchmarks`` of the source
    checkout. Compiling is not timed, and the best of several runs counts.

    Parameters
    ----------
    quick : bool
        Smaller samples, and no start with an empty cache.

    Returns
    -------
    list of dict
        ``what``, ``value``, ``unit``, ``beside`` (limit, goal or conditions) and ``met`` ("yes", "no" or "").

    Raises
    ------
    ConfigError
        If gm2sim is installed without its source checkout.
    """
    root = source_checkout()
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    from benchmarks.table import table

    return [row.as_dict() for row in table(quick)]


def source_checkout() -> Path:
    """Folder that holds this package and the benchmarks.

    Raises
    ------
    ConfigError
        If there are no benchmarks beside the package.
    """
    root = Path(__file__).resolve().parents[1]
    if not (root / "benchmarks" / "table.py").is_file():
        raise ConfigError(
            f"there is no folder 'benchmarks' in '{root}': it comes with the source checkout, run 'make bench' there"
        )
    return root
