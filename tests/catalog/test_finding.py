"""Queries find what a plain loop over the records finds, on every engine, page by page and through indexes."""

import operator
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.dialects import postgresql

from gm2sim.catalog import (
    CatalogError,
    FileRecord,
    QueryError,
    Settings,
    ancestors,
    count,
    declare,
    define,
    descendants,
    list_definitions,
    list_snapshots,
    locate,
    names,
    page,
    parse,
    records,
    retire,
    snapshot,
)
from gm2sim.catalog.fields import FIELDS
from gm2sim.catalog.query import page_statement
from gm2sim.catalog.syntax import And, Compare, In, IsChildOf, IsParentOf, Like, Node, Not, Or, Query, Range

Make = Callable[..., FileRecord]
Several = Callable[..., list[FileRecord]]
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
WORDS = ("raw", "RAW", "r[aw", "r*", "r?", "ra_", "a%b", "ü", "", "\\", "'")


def mixed(record: Make) -> list[FileRecord]:
    """Sixty files that differ in everything: with and without run, events, checksums, parents and folders."""
    found: list[FileRecord] = []
    for i in range(60):
        run = None if i % 7 == 0 else 100 + i // 6
        values: dict[str, Any] = {
            "tier": ("raw", "truth", "reco")[i % 3], "format": "midas", "run": run,
            "subrun": None if run is None else i % 6, "size": 10**6 * (i % 5), "status": ("good", "good", "bad")[i % 3],
            "events": None if i % 4 == 0 else i, "crc32c": None if i % 5 == 0 else f"{i % 3:08x}",
            "sha256": f"{i:064x}", "description": WORDS[i % len(WORDS)],
            "begin_time": None if i % 6 == 0 else i * 10**6,
            "settings": Settings(f"0.{i % 2}", "ab" * 32, None if i % 3 == 2 else 5, WORDS[i % 4], "built in"),
            "folders": ("/a", "/b/c")[: i % 3], "campaign": f"gm2sim_{'xyz'[(i // 6) % 3]}",
            "parents": tuple(one.name for one in found[-2:] if i % 2),
        }  # fmt: skip
        if run is None:
            values["campaign"] = "gm2sim_none"
        elif values["tier"] != "reco":
            values["settings"] = Settings("0.0", "ab" * 32, 5, "raw", "built in")
        found.append(record(f"{'Ff'[i % 2]}ile_{i:02d}.mid", **values))
    return found


def plain(record: FileRecord, name: str) -> Any:
    """The value that a query compares."""
    if name == "folder":
        return record.folders
    return getattr(record.settings, name) if name in Settings._fields else getattr(record, name)


def matches(pattern: str, text: str) -> bool:
    first, *rest = pattern.split("%")
    if not rest:
        return text == pattern
    if not text.startswith(first) or not text.endswith(rest[-1]) or len(text) < len(first) + len(rest[-1]):
        return False
    text = text[len(first) : len(text) - len(rest[-1])]
    for part in rest[:-1]:
        place = text.find(part)
        if place < 0:
            return False
        text = text[place + len(part) :]
    return True


def holds(node: Node, record: FileRecord, everything: list[FileRecord]) -> bool:
    """Whether a record is found: the meaning of the language, in plain Python."""
    match node:
        case And():
            return all(holds(term, record, everything) for term in node.terms)
        case Or():
            return any(holds(term, record, everything) for term in node.terms)
        case Not():
            return not holds(node.term, record, everything)
        case IsParentOf():
            return any(record.name in one.parents for one in everything if holds(node.term, one, everything))
        case IsChildOf():
            return any(one.name in record.parents for one in everything if holds(node.term, one, everything))
        case Compare() | Range() | In() | Like():
            value = plain(record, node.field)
            values = value if isinstance(value, tuple) else (value,)
            return any(one is not None and of_value(node, one) for one in values)
    raise AssertionError(node)


def of_value(node: Compare | Range | In | Like, value: Any) -> bool:
    match node:
        case Compare():
            return OPERATORS[node.operator](value, node.value)
        case Range():
            return bool(node.low <= value <= node.high)
        case Like():
            return matches(node.pattern, value)
        case In():
            return value in node.values or any(low <= value <= high for low, high in node.ranges)


def asks(node: Node) -> bool:
    match node:
        case And() | Or():
            return any(asks(term) for term in node.terms)
        case Not():
            return asks(node.term)
        case Compare() | Range() | In() | Like():
            return node.field == "status"
    return False


def found(node: Node, record: FileRecord, everything: list[FileRecord]) -> bool:
    """With the rule that files which are not good are found by those who ask for them."""
    if isinstance(node, Or):
        return any(found(term, record, everything) for term in node.terms)
    return holds(node, record, everything) and (asks(node) or record.status == "good")


NUMBERS = {
    "run": st.integers(98, 112), "subrun": st.integers(0, 7), "events": st.integers(0, 60), "seed": st.integers(4, 6),
    "first_event": st.integers(0, 20), "size": st.integers(0, 6).map(lambda i: i * 10**6),
    "begin_time": st.integers(0, 60).map(lambda i: i * 10**6),
}  # fmt: skip
TEXTS = {
    "name": st.sampled_from(["file_01.mid", "File_02.mid", "file_02.mid", "g"]),
    "tier": st.sampled_from(["raw", "truth", "Raw", "s"]), "status": st.sampled_from(["good", "bad", "retired"]),
    "description": st.sampled_from(WORDS), "preset": st.sampled_from(WORDS),
    "folder": st.sampled_from(["/a", "/b/c", "/"]),
    "campaign": st.sampled_from(["gm2sim_x", "gm2sim_none", "gm2sim_y"]), "owner": st.sampled_from(["alice", "bob"]),
    "version": st.sampled_from(["0.0", "0.1"]), "config_hash": st.just("ab" * 32),
}  # fmt: skip
SUMS = {"crc32c": st.integers(0, 3).map("{:08x}".format), "sha256": st.integers(0, 60).map("{:064x}".format)}
PATTERNS = st.lists(st.sampled_from(["%", "%", "_", "file", "i", "File", "raw", "r", "[", "*", "?", "/", "x",
                    "gm2sim_"]), max_size=4).map("".join)  # fmt: skip


@st.composite
def leaves(draw: st.DrawFn) -> Node:
    name = draw(st.sampled_from([*NUMBERS, *TEXTS, *SUMS]))
    values = (NUMBERS | TEXTS | SUMS)[name]
    kind = draw(st.sampled_from(["compare", "compare", "in", "special"]))
    if kind == "in":
        return In(name, tuple(draw(st.lists(values, min_size=1, max_size=3))))
    if kind == "special" and name in TEXTS:
        return Like(name, draw(PATTERNS))
    if kind == "special" and name in ("run", "subrun", "events", "seed", "first_event"):
        low, high = sorted((draw(values), draw(values)))
        return draw(st.sampled_from([Range(name, low, high), In(name, (low,), ((high, high + 2),))]))
    operators = ["=", "!="] if name in SUMS else list(OPERATORS)
    return Compare(name, draw(st.sampled_from(operators)), draw(values))


NODES: st.SearchStrategy[Node] = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.builds(Not, inner), st.builds(IsParentOf, inner), st.builds(IsChildOf, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)  # fmt: skip


def order(record: FileRecord, everything: list[FileRecord]) -> tuple[int, int, int]:
    run, subrun = (-1, -1) if record.run is None or record.subrun is None else (record.run, record.subrun)
    return run, subrun, everything.index(record)


def test_a_query_finds_what_a_plain_filter_finds(catalog: Engine, record: Make) -> None:
    everything = mixed(record)
    declare(catalog, everything)
    ordered = sorted(everything, key=lambda one: order(one, everything))

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(NODES, st.none() | st.integers(0, 20), st.integers(0, 20))
    def compare(node: Node, limit: int | None, offset: int) -> None:
        query = str(Query(node, limit, offset))
        wanted = [one for one in ordered if found(node, one, everything)]
        wanted = wanted[offset:] if limit is None else wanted[offset : offset + limit]
        with catalog.connect() as connection:
            assert names(connection, query) == [one.name for one in wanted]
            assert count(connection, query) == (len(wanted), sum(one.size for one in wanted))

    compare()


def test_pages_one_after_another_are_the_whole_list(catalog: Engine, record: Make) -> None:
    declare(catalog, mixed(record))
    for query in (
        "name like %",
        "run > 102 and tier = raw",
        "campaign = gm2sim_x",
        "name like % with limit 17 with offset 3",
    ):
        with catalog.connect() as connection:
            whole = names(connection, query)
            pages: list[str] = []
            while part := page(connection, query, 4, pages[-1] if pages else None):
                pages += [one.name for one in part]
            assert pages == whole
            assert [one.name for one in records(connection, query)] == whole


def test_a_number_that_no_file_can_have_finds_nothing(catalog: Engine, subruns: Several) -> None:
    declare(catalog, subruns(range(1, 3)))
    largest = 2**63 - 1
    for query in (f"run = {largest}", f"run in ({largest}, 3000000000)", f"subrun > {largest}", f"events >= {largest}"):
        with catalog.connect() as connection:
            assert names(connection, query) == []
    with catalog.connect() as connection:
        assert (
            len(names(connection, f"run < {largest} and run in 0-{largest} and name like % with limit {largest}")) == 6
        )
        assert names(connection, f"run = 1 with offset {largest}") == []
        with pytest.raises(CatalogError, match="there is no snapshot"):
            names(connection, f"snapshot_id {largest}")


def test_a_snapshot_is_frozen_and_a_definition_is_not(catalog: Engine, subruns: Several) -> None:
    first, later = subruns(range(15921, 15923)), subruns(range(15930, 15932))
    declare(catalog, first)
    assert define(catalog, "gm2sim_60h", "run 15921-15991 and tier=raw", "alice") == 6
    made = snapshot(catalog, "gm2sim_60h", "alice")
    assert (made["files"], made["size"]) == (6, 6 * first[0].size)
    declare(catalog, later)
    retire(catalog, [first[0].name], "alice")
    with catalog.connect() as connection:
        frozen = f"snapshot_id {made['id']}"
        assert names(connection, frozen) == [one.name for one in first]
        assert names(connection, "defname: gm2sim_60h") == [one.name for one in [*first[1:], *later]]
        assert names(connection, f"defname: gm2sim_60h and not {frozen}") == [one.name for one in later]
    assert snapshot(catalog, "gm2sim_60h", "bob")["id"] == made["id"] + 1
    assert [one["files"] for one in list_snapshots(catalog)] == [6, 11]


def test_definitions_are_kept_as_they_are(catalog: Engine) -> None:
    define(catalog, "gm2sim_a", "run<5", "alice", "mine")
    assert define(catalog, "gm2sim_a", "run < 5", "alice") == 0
    with pytest.raises(CatalogError, match=r"gm2sim_a of 'alice' says 'run < 5', 'bob' gives it another query"):
        define(catalog, "gm2sim_a", "run < 6", "bob")
    for name in ("gm2pro_daq_offline_dqc_run2B", "run2", "gm2sim_", "gm2sim_a b"):
        with pytest.raises(CatalogError, match=r"gm2sim_"):
            define(catalog, name, "run < 5", "alice")
    with pytest.raises(CatalogError, match="no definition 'gm2sim_b': did you mean 'gm2sim_a'"):
        define(catalog, "gm2sim_b", "defname: gm2sim_b", "alice")
    (only,) = list_definitions(catalog)
    assert (only["name"], only["query"], only["owner"], only["description"]) == ("gm2sim_a", "run < 5", "alice", "mine")
    names_of = ["gm2sim_a", *(f"gm2sim_deep{depth}" for depth in range(30))]

    def deeper() -> None:
        for before, name in pairwise(names_of):
            define(catalog, name, f"defname: {before}", "alice")

    with pytest.raises(CatalogError, match="definitions deep"):
        deeper()


def test_ancestry_is_found_at_any_depth(catalog: Engine, record: Make) -> None:
    made = {"tier": "reco", "run": None, "subrun": None}
    chain = [record("a.mid")] + [record(f"{a}.h5", parents=(f"{b}.h5" if b != "a" else "a.mid",), **made) for a, b in
                                 (("b", "a"), ("c", "b"), ("d", "c"))]  # fmt: skip
    both = record("e.h5", parents=("d.h5", "b.h5", "a.mid"), **made)
    declare(catalog, [*chain, both, record("alone.mid", run=7)])
    with catalog.connect() as connection:
        assert ancestors(connection, "d.h5") == [("c.h5", 1), ("b.h5", 2), ("a.mid", 3)]
        assert ancestors(connection, "e.h5") == [("a.mid", 1), ("b.h5", 1), ("d.h5", 1), ("c.h5", 2)]
        assert ancestors(connection, "d.h5", 1) == [("c.h5", 1)]
        assert descendants(connection, "a.mid") == [("b.h5", 1), ("e.h5", 1), ("c.h5", 2), ("d.h5", 3)]
        assert descendants(connection, "alone.mid") == []
        assert names(connection, "ischildof: (name = a.mid)") == ["b.h5", "e.h5"]
        assert names(connection, "isparentof: (tier = reco) and tier = raw") == ["a.mid"]
        assert locate(connection, "a.mid") == ("/data/gm2/a.mid",)
        with pytest.raises(CatalogError, match=r"no file 'f\.h5'"):
            ancestors(connection, "f.h5")


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("run >= 300 and run <= 305 and tier = raw", "catalog_files_(tier|order)"),
        ("campaign = gm2sim_first and tier = raw", "catalog_files_(campaign|tier|order)"),
        ("tier = raw", "catalog_files_(tier|order|campaign)"),
        ("run = 310", "catalog_files_(order|tier)"),
        ("name = gm2_run00310_00001.mid", "catalog_files_name"),
        ("name like gm2_run00310%", "catalog_files_name"),
    ],
)
def test_pages_are_read_through_an_index(many: Engine, query: str, index: str) -> None:
    with many.connect() as connection:
        statement = page_statement(connection, parse(query), 100, (300, 1, 5))
        if many.dialect.name == "sqlite":
            text = str(statement.compile(dialect=many.dialect, compile_kwargs={"literal_binds": True}))
            plan = "\n".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
            scans = [line for line in plan.split("\n") if line.startswith("SCAN") and "INDEX" not in line]
        else:
            text = str(statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}))
            plan = "\n".join(row[0] for row in connection.exec_driver_sql("EXPLAIN " + text.replace("%", "%%")))
            scans = [line for line in plan.split("\n") if "Seq Scan on catalog_files" in line]
        assert re.search(index, plan), plan
        assert not scans, plan


@pytest.mark.parametrize("step", ["not (run = 5 or {})", "isparentof: ({})", "(run = 5 and {})", "not ischildof: ({})"])
def test_the_deepest_query_is_answered(many: Engine, step: str) -> None:
    query = "name = x"
    while True:
        deeper = step.format(query)
        try:
            parse(deeper)
        except QueryError:
            break
        query = deeper
    with many.connect() as connection:
        deep, one = count(connection, query)[0], count(connection, "run = 1")[0]
        wide = count(connection, f"{query} or " + " or ".join(["run = 1"] * 300))[0]
    assert max(deep, one) <= wide <= deep + one


def test_every_field_can_be_asked_for(catalog: Engine, record: Make) -> None:
    declare(catalog, [record(description="words")])
    written = {"begin_time": "2018-03-26", "end_time": "2018-03-26T00:00:08", "declared": "2018-01-01"}
    for name in FIELDS:
        value = written.get(name) or plain_value(record(description="words"), name)
        with catalog.connect() as connection:
            assert names(connection, f"{name} {'>' if name == 'declared' else '='} '{value}'"), name


def plain_value(record: FileRecord, name: str) -> Any:
    return plain(record, name) if name != "folder" else record.folders[0]
