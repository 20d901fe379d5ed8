"""Raw files as tables that other programs open: islands, hits, clusters, straws, tracks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gm2sim.errors import ConfigError
from gm2sim.raw.tools.export_columns import DEFAULT, Columns, Jagged
from gm2sim.raw.tools.export_files import Tables, tables_in
from gm2sim.raw.tools.export_tables import Tracking, parts

_ENOUGH = 32 << 20  # bytes of a table that are gathered before they are written


def export(
    files: Sequence[Path], out: Path, what: tuple[str, ...] = DEFAULT, *, tracks: Path | None = None
) -> dict[str, Any]:
    """Write tables of raw files, event by event; a part of one table at a time is in memory.

    Parameters
    ----------
    files : sequence of Path
        In the order wanted.
    out : Path
        ``.root``, ``.parquet`` (of one table), or a folder for Parquet files; nothing is overwritten.
    what : tuple of str
        Names of :data:`gm2sim.raw.tools.export_columns.TABLES`.
    tracks : Path, optional
        Of ``gm2sim tracks``; without it tracks are found now.

    Returns
    -------
    dict
        Rows of each table.

    Raises
    ------
    ConfigError
        The request makes no sense, a file is there already, or constants are missing.
    FileNotFoundError, RawFormatError
        A raw file cannot be read.
    """
    if not files:
        raise ConfigError("no raw file was named")
    for path in files:
        if not path.is_file():
            raise ConfigError(f"there is no file '{path}': check the path")
    finder = Tracking(tracks) if "tracks" in what else None
    rows = dict.fromkeys(what, 0)
    with tables_in(out, what) as tables:
        gathered: dict[str, list[Columns]] = {table: [] for table in what}
        sizes = dict.fromkeys(what, 0)
        for path in files:
            for table, columns in parts(path, what, finder):
                rows[table] += len(columns["run"])
                gathered[table].append(columns)
                sizes[table] += sum(map(_bytes, columns.values()))
                if sizes[table] > _ENOUGH:
                    _write(tables, table, gathered[table])
                    sizes[table] = 0
        for table in what:
            _write(tables, table, gathered[table])
    return rows


def _write(tables: Tables, table: str, gathered: list[Columns]) -> None:
    """Write what was gathered of a table, and forget it."""
    if any(len(columns["run"]) for columns in gathered):
        tables.write(table, {name: _joined([one[name] for one in gathered]) for name in gathered[0]})
    gathered.clear()


def _joined(pieces: list[Any]) -> Any:
    if isinstance(pieces[0], Jagged):
        return Jagged._make(np.concatenate(columns) for columns in zip(*pieces, strict=True))
    return np.concatenate(pieces)


def _bytes(column: Any) -> int:
    return int(column.values.nbytes + column.counts.nbytes if isinstance(column, Jagged) else column.nbytes)
