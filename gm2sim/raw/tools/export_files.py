"""Where exported tables go: TTrees in one ROOT file, or one Parquet file a table. Both appear whole or not at all."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from gm2sim import __version__
from gm2sim.atomic import atomic_path
from gm2sim.errors import ConfigError
from gm2sim.raw.tools.export_columns import TABLES, Columns, Jagged
from gm2sim.raw.tools.output import refuse_to_overwrite


class Tables(Protocol):
    """Tables that are being written; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, table: str, columns: Columns) -> None:
        """Append rows to a table."""


def tables_in(out: Path, what: tuple[str, ...]) -> Tables:
    """The writer for a name that ends in ``.root`` or ``.parquet``, or for a folder of Parquet files.

    Raises
    ------
    ConfigError
        The name fits none of them, a file is there already, or the package that writes it is not installed.
    """
    if out.suffix == ".root":
        refuse_to_overwrite(out)
        return RootTables(out, what)
    if out.suffix == ".parquet":
        if len(what) > 1:
            raise ConfigError(f"a Parquet file holds one table, but --what names {len(what)}: give a folder as --out")
        files = {what[0]: out}
    elif out.suffix and not out.is_dir():
        raise ConfigError(f"--out {out} must end in .root or .parquet, or be a folder")
    else:
        files = {table: out / f"{table}.parquet" for table in what}
    for path in files.values():
        refuse_to_overwrite(path)
    return ParquetTables(files)


class RootTables:
    """One TTree a table by uproot; lists are arrays whose length another branch holds.

    uproot gives branches no titles of their own: the units are in the tree's title, and with the meanings in a string
    ``<table>_columns`` of JSON beside it.
    """

    def __init__(self, path: Path, what: tuple[str, ...]) -> None:
        try:
            import awkward
            import uproot
        except ImportError:
            raise ConfigError("ROOT files need uproot and awkward: pip install 'gm2sim[root]'") from None
        self._awkward, self._uproot = awkward, uproot
        self._path, self._what = path, what
        self._held = ExitStack()
        self._trees: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            file = held.enter_context(self._uproot.recreate(held.enter_context(atomic_path(self._path))))
            for table in self._what:
                columns = TABLES[table]
                types = {name: f"var * {_NAMES[one.type]}" if one.counter else _NAMES[one.type]
                         for name, one in columns.items() if name not in _counters(table)}  # fmt: skip
                title = ", ".join(f"{name} [{one.unit}]" for name, one in columns.items() if one.unit)
                self._trees[table] = file.mktree(
                    table, types, title=title, counter_name=lambda name, columns=columns: columns[name].counter
                )
                file[f"{table}_columns"] = json.dumps({name: one._asdict() for name, one in columns.items()})
            self._held = held.pop_all()
        return self

    def write(self, table: str, columns: Columns) -> None:
        """Append rows to a table."""
        self._trees[table].extend({
            name: self._awkward.unflatten(values.values, values.counts) if isinstance(values, Jagged) else values
            for name, values in columns.items() if name not in _counters(table)
        })  # fmt: skip

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.__exit__(kind, error, trace)


class ParquetTables:
    """One file a table by pyarrow; unit and meaning are metadata of each field."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise ConfigError("Parquet files need pyarrow: pip install 'gm2sim[parquet]'") from None
        self._arrow, self._parquet = pyarrow, pyarrow.parquet
        self._files = files
        self._held = ExitStack()
        self._writers: dict[str, Any] = {}

    def __enter__(self) -> Self:
        with ExitStack() as held:
            for table, path in self._files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = held.enter_context(atomic_path(path))
                writer = self._parquet.ParquetWriter(temporary, self._schema(table), compression="zstd")
                self._writers[table] = held.enter_context(writer)
            self._held = held.pop_all()
        return self

    def write(self, table: str, columns: Columns) -> None:
        """Append rows to a table, as one row group."""
        arrow = self._arrow
        arrays = []
        for values in columns.values():
            if isinstance(values, Jagged):
                ends = values.counts.cumsum(dtype="i4")
                offsets = arrow.array([0, *ends.tolist()], arrow.int32())
                arrays.append(arrow.ListArray.from_arrays(offsets, arrow.array(values.values)))
            else:
                arrays.append(arrow.array(values))
        self._writers[table].write_table(arrow.Table.from_arrays(arrays, schema=self._schema(table)))

    def _schema(self, table: str) -> Any:
        arrow = self._arrow
        fields = []
        for name, one in TABLES[table].items():
            kind = arrow.from_numpy_dtype(one.type)
            metadata = {"unit": one.unit, "meaning": one.meaning}
            fields.append(arrow.field(name, arrow.list_(kind) if one.counter else kind, False, metadata))
        return arrow.schema(fields, {"table": table, "gm2sim": __version__, "simulated": "true"})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.__exit__(kind, error, trace)


_NAMES = {"i2": "int16", "i4": "int32", "f4": "float32", "f8": "float64"}


def _counters(table: str) -> set[str]:
    return {one.counter for one in TABLES[table].values() if one.counter}
