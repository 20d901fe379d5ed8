"""Whole columns into a table: what all rows share goes to the database once a statement or once a block.

A row of :func:`gm2sim.catalog.store.store` costs more in Python than in the database. Here SQLite gets several rows a
statement, whose shared values are bound once, and PostgreSQL its binary form of COPY, made by numpy ("COPY, Binary
Format" of its manual).
"""

from collections.abc import Mapping
from functools import cache
from itertools import groupby, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Connection, Integer, Table, Text, bindparam, insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeEngine

from gm2sim.catalog.store import copying

_TOGETHER = 16  # rows of a statement: more gain little
_PIECE = 128 * _TOGETHER  # rows at once: their values stay in the processor's cache, which halves the time
_BLOCK = 20_000  # rows of a block for COPY
_COPY_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"


def store_columns(
    connection: Connection, table: Table, columns: Mapping[str, NDArray[Any]], shared: Mapping[str, Any]
) -> None:
    """Insert rows in the order of the columns.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    table : sqlalchemy.Table
        Each of its columns has to be in one of the two.
    columns : mapping of str to numpy.ndarray
        (rows,) integers, bytes (ASCII texts) or void (raw bytes).
    shared : mapping of str to int or str
        What is the same in all rows.
    """
    rows = len(next(iter(columns.values())))
    if connection.dialect.name == "postgresql":
        with copying(connection, table, binary=True) as copy:
            copy.write(_COPY_BEGIN)
            for begin in range(0, rows, _BLOCK):
                copy.write(_copy_block(table, _part(columns, begin, begin + _BLOCK), shared))
            copy.write(_COPY_END)
        return
    odd = rows % _TOGETHER
    for begin in range(0, rows - odd, _PIECE):
        end = min(begin + _PIECE, rows - odd)
        _insert(connection, table, _part(columns, begin, end), shared, _TOGETHER)
    if odd:
        _insert(connection, table, _part(columns, rows - odd, rows), shared, 1)


def _part(columns: Mapping[str, NDArray[Any]], begin: int, end: int) -> dict[str, NDArray[Any]]:
    return {name: column[begin:end] for name, column in columns.items()}


def _insert(
    connection: Connection, table: Table, columns: Mapping[str, NDArray[Any]], shared: Mapping[str, Any], together: int
) -> None:
    statement, parameters = _statement(table, tuple(columns), together)
    values = {name: _plain(column) for name, column in columns.items()}
    sources: dict[str, Any] = {_shared(name): repeat(value) for name, value in shared.items()}
    sources |= {_own(name, row): value[row::together] for name, value in values.items() for row in range(together)}
    connection.exec_driver_sql(statement, list(zip(*(sources[name] for name in parameters), strict=False)))


@cache
def _statement(table: Table, own: tuple[str, ...], together: int) -> tuple[str, tuple[str, ...]]:
    """An insert of several rows, with the names of its parameters in their order."""
    values: list[dict[str, Any]] = [
        {
            column.name: bindparam(_own(column.name, row) if column.name in own else _shared(column.name))
            for column in table.columns
        }
        for row in range(together)
    ]
    compiled = insert(table).values(values).compile(dialect=sqlite.dialect(paramstyle="numeric"))
    # SQLAlchemy numbers them :1, :2; to SQLite those would be names.
    return str(compiled).replace(":", "?"), tuple(compiled.positiontup or ())


def _own(name: str, row: int) -> str:
    return f"own_{row}_{name}"


def _shared(name: str) -> str:
    return f"shared_{name}"


def _plain(column: NDArray[Any]) -> list[Any]:
    """Python's own numbers, texts and bytes."""
    plain: list[Any] = (column.astype(np.str_) if column.dtype.kind == "S" else column).tolist()
    return plain


def _copy_block(table: Table, columns: Mapping[str, NDArray[Any]], shared: Mapping[str, Any]) -> bytes:
    """Rows as the server reads them: number of fields, then length and bytes of each, numbers from the high end."""
    rows = len(next(iter(columns.values())))
    parts = [_big_endian(len(table.columns), ">i2")]
    kept = [_all(parts[0])]
    for column in table.columns:
        content = _content(column.type, columns[column.name] if column.name in columns else shared[column.name])
        filled, lengths = _all(content), _big_endian(content.shape[1], ">i4")
        if isinstance(column.type, Text) and not content.all():
            filled = content != 0
            lengths = _big_endian(filled.sum(axis=1), ">i4")
        parts += [lengths, content]
        kept += [_all(lengths), filled]
    block = _side_by_side(parts, rows)
    if all(one.all() for one in kept):
        return block.tobytes()
    kept_bytes: bytes = block[_side_by_side(kept, rows)].tobytes()
    return kept_bytes


def _content(kind: TypeEngine[Any], values: Any) -> NDArray[np.uint8]:
    """Bytes of a field, (rows, width), or (1, width) where all rows share it; short texts end in zeros."""
    if isinstance(kind, Integer):
        return _big_endian(values, ">i8" if isinstance(kind, BigInteger) else ">i4")
    if isinstance(values, str):
        return np.frombuffer(values.encode(), dtype=np.uint8)[None, :]
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)


def _big_endian(numbers: Any, kind: str) -> NDArray[np.uint8]:
    column = np.asarray(numbers, dtype=kind).reshape(-1, 1)
    return np.ascontiguousarray(column).view(np.uint8)


def _all(content: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.ones((1, content.shape[1]), dtype=np.bool_)


def _side_by_side(parts: list[NDArray[Any]], rows: int) -> NDArray[Any]:
    whole = np.empty((rows, sum(part.shape[1] for part in parts)), dtype=parts[0].dtype)
    end = 0
    for _, stretch in groupby(parts, key=len):
        # Neighbours that all rows share are written together.
        joined = np.concatenate(list(stretch), axis=1)
        begin, end = end, end + joined.shape[1]
        whole[:, begin:end] = joined
    return whole
