"""Columns enter the catalogue as single records do, under the same rules, in whatever form a database takes them."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from gm2sim.catalog import CatalogError, Columns, FileRecord, check_tables, declare, declare_columns, loading
from gm2sim.catalog.columns import checked_columns
from gm2sim.catalog.record import file_name
from gm2sim.catalog.schema import files
from gm2sim.database import opened, upgrade

TEXT = "μ: it's \\ :name ?1 %s"


def records(columns: Columns, shared: FileRecord) -> list[FileRecord]:
    rows = zip(*columns, strict=True)
    return [
        shared._replace(
            name=name, size=size, adler32=f"{adler32:08x}", crc32c=f"{crc32c:08x}", sha256=sha256.hex(), run=run,
            subrun=subrun, first_event=first, last_event=last, events=last - first + 1, begin_time=begin, end_time=end,
        )
        for name, size, adler32, crc32c, sha256, run, subrun, first, last, begin, end in rows
    ]  # fmt: skip


def content(engine: Engine) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        rows = connection.execute(select(files).order_by(files.c.id)).mappings()
        return [tuple(value for name, value in row.items() if name != "declared") for row in rows]


@pytest.mark.parametrize("number", [1, 15, 16, 70])
def test_columns_give_the_rows_that_records_give(
    database: str, new_postgres: Callable[[], str], tmp_path: object, number: int,
    record: Callable[..., FileRecord], columns: Callable[..., Columns], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(loading, "_PIECE", 32)
    monkeypatch.setattr(loading, "_BLOCK", 32)
    many = columns(range(300, 301), number)
    # Names of many lengths, the extremes of numbers, and a checksum that ends in zeros.
    many = many._replace(
        name=[f"{name}{'x' * (place % 7)}" for place, name in enumerate(many.name)],
        size=[2**63 - 1, *many.size[1:]],
        crc32c=[2**32 - 1, *many.crc32c[1:]],
        sha256=[bytes(32), *many.sha256[1:]],
    )
    shared = record(description=TEXT, folders=(f"/{TEXT}",))
    other = f"{tmp_path}/other.sqlite" if "://" not in database else new_postgres()
    with opened(database, create=True) as engine, opened(other, create=True) as single:
        for one in (engine, single):
            upgrade(one, "catalog")
        assert declare_columns(engine, shared, many) == number
        declare(single, records(many, shared))
        assert content(engine) == content(single)
        assert check_tables(engine) == []


def test_no_columns_are_no_files(catalog: Engine, record: Callable[..., FileRecord]) -> None:
    assert declare_columns(catalog, record(), Columns(*([[]] * len(Columns._fields)))) == 0  # type: ignore[arg-type]
    assert content(catalog) == []


@given(
    st.lists(
        st.one_of(st.text(max_size=4), st.text("gm2pro-_.A1\n", max_size=9), st.integers()), min_size=1, max_size=4
    )
)
@example(["a", ""])
@example(["", "a"])
@example(["a\nb", "c"])
@example(["x" * 255])
@example(["x" * 256])
@example(["GM2-Pro_daq"])
@example(["é"])
def test_names_in_columns_obey_the_rule_of_single_names(names: list[object]) -> None:
    def refused(check: Callable[[], object]) -> str:
        try:
            check()
        except CatalogError as err:
            return str(err)
        return ""

    number = len(names)
    many = Columns(names, *([[0] * number] * 3), [bytes(32)] * number, *([[0] * number] * 6))  # type: ignore[arg-type]
    said = refused(lambda: checked_columns(many))
    expected = refused(lambda: [file_name(name) for name in names])
    assert said == (expected or "a name is there twice: names are unique" * (len(set(names)) != number))


@pytest.mark.parametrize("wrong", [1.0, True, "1", None, -1, 2**64])
def test_only_whole_numbers_are_taken(wrong: object, columns: Callable[..., Columns]) -> None:
    many = columns(range(300, 301), 3)
    with pytest.raises(CatalogError, match="first_event holds"):
        checked_columns(many._replace(first_event=[wrong] * 3))  # type: ignore[list-item]
