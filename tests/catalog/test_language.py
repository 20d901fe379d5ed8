"""The language of queries: what is written is read, printed and read again; mistakes are pointed at."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gm2sim.catalog import QueryError, parse, syntax
from gm2sim.catalog.fields import BY_ALIAS, FIELDS, Kind
from gm2sim.text import visible

NUMBERS = st.integers(0, 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
OF_KIND = {
    Kind.NUMBER: NUMBERS,
    Kind.SIZE: NUMBERS,
    Kind.TEXT: TEXTS,
    Kind.TIME: st.integers(0, 4_000_000_000_000_000),
    Kind.SUM8: st.integers(0, 2**32 - 1).map(lambda number: f"{number:08x}"),
    Kind.SUM64: st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}"),
}
NAMES = sorted(FIELDS)
OF_NUMBER = [name for name in NAMES if FIELDS[name].kind is Kind.NUMBER]
OF_TEXT = [name for name in NAMES if FIELDS[name].kind is Kind.TEXT]
RANGES = st.tuples(NUMBERS, NUMBERS).map(lambda pair: (min(pair), max(pair)))


@st.composite
def compares(draw: st.DrawFn) -> syntax.Compare:
    name = draw(st.sampled_from(NAMES))
    summed = FIELDS[name].kind in (Kind.SUM8, Kind.SUM64)
    operator = draw(st.sampled_from(["=", "!="] if summed else ["=", "!=", "<", "<=", ">", ">="]))
    return syntax.Compare(name, operator, draw(OF_KIND[FIELDS[name].kind]))


@st.composite
def lists(draw: st.DrawFn) -> syntax.In:
    name = draw(st.sampled_from(NAMES))
    values = tuple(draw(st.lists(OF_KIND[FIELDS[name].kind], min_size=1, max_size=4)))
    ranges = draw(st.lists(RANGES, max_size=2)) if name in OF_NUMBER else []
    return syntax.In(name, values, tuple(ranges))


LEAVES: st.SearchStrategy[syntax.Node] = st.one_of(
    compares(),
    lists(),
    st.builds(lambda name, pair: syntax.Range(name, *pair), st.sampled_from(OF_NUMBER), RANGES),
    st.builds(syntax.Like, st.sampled_from(OF_TEXT), TEXTS.map(lambda text: text.replace("%", "")).map("%{}%".format)),
    st.builds(syntax.Defined, TEXTS.filter(bool)),
    st.builds(syntax.Frozen, NUMBERS),
)
NODES: st.SearchStrategy[syntax.Node] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(syntax.Not, inner),
        st.builds(syntax.IsParentOf, inner),
        st.builds(syntax.IsChildOf, inner),
        st.builds(syntax.And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(syntax.Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)
QUERIES = st.builds(syntax.Query, NODES, st.none() | st.integers(0, 100), st.integers(0, 100))


@settings(max_examples=150, deadline=None)
@given(QUERIES)
def test_a_printed_query_is_read_as_the_same_query(query: syntax.Query) -> None:
    assert parse(str(query)) == query
    assert str(parse(str(query))) == str(query)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from([*BY_ALIAS, *"()=<>,'%", " ", "and", "or", "not", "in", "with",
       "limit", "1-2", "defname:", "isparentof:", "15921", "like", "1GB"]), max_size=12).map(" ".join))  # fmt: skip
def test_any_text_is_a_query_or_refused_with_a_place(text: str) -> None:
    try:
        query = parse(text)
    except QueryError as err:
        sentence, line, marker = str(err).split("\n")
        assert "column" in sentence
        assert visible(line, lines=False) == line
        assert marker.strip() == "^"
        assert len(marker) <= len(line) + 1
    else:
        assert parse(str(query)) == query


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("run>=15921 and run<=15991 and tier=raw", "run >= 15921 and run <= 15991 and tier = 'raw'"),
        ("run 15921-15991", "run in 15921-15991"),
        ("run in 15921-15991", "run in 15921-15991"),
        ("run_number 15921 and data_tier raw", "run = 15921 and tier = 'raw'"),
        ("run in (1, 5-7,9)", "run in (1, 9, 5-7)"),
        ("run not in (1)", "not run in (1)"),
        ("NOT (tier = raw OR tier = truth)", "not (tier = 'raw' or tier = 'truth')"),
        ("tier = raw or tier = truth and run = 1", "tier = 'raw' or tier = 'truth' and run = 1"),
        ("(tier = raw or tier = truth) and run = 1", "(tier = 'raw' or tier = 'truth') and run = 1"),
        ("tier == raw and run <> 3", "tier = 'raw' and run != 3"),
        ("file_size > 1GB", "size > 1000000000"),
        ("size >= 1.5 GiB", "size >= 1610612736"),
        ("size = 7", "size = 7"),
        ("start_time < 2018-04-01", "begin_time < 2018-04-01T00:00:00Z"),
        ("end_time > '2018-04-01T02:00:00.5+02:00'", "end_time > 2018-04-01T00:00:00.500000Z"),
        ("name like gm2_run15%", "name like 'gm2_run15%'"),
        (r"description = 'it\'s \\ \"so\"'", "description = 'it\\'s \\\\ \"so\"'"),
        ("isparentof:(tier=reco)", "isparentof: (tier = 'reco')"),
        ("ischildof: ( isparentof: (run 1) )", "ischildof: (isparentof: (run = 1))"),
        ("defname:gm2sim_60h", "defname: 'gm2sim_60h'"),
        ("defname: gm2sim_60h and run = 1", "defname: 'gm2sim_60h' and run = 1"),
        ("snapshot_id 12", "snapshot_id 12"),
        ("snapshot_id = 12 with limit 5 with offset 10", "snapshot_id 12 with limit 5 with offset 10"),
        ("crc32c = 0BADCAFE", "crc32c = '0badcafe'"),
    ],
)  # fmt: skip
def test_what_is_written_is_what_is_meant(written: str, meant: str) -> None:
    assert str(parse(written)) == meant


@pytest.mark.parametrize(
    ("written", "told", "column"),
    [
        ("", "the query is empty", 1),
        ("runn = 1", "did you mean 'run'?", 1),
        ("tier = raw and filesize > 3", "did you mean 'file_size'?", 16),
        ("run = abc", "run is a whole number", 7),
        ("run >", "expected a whole number", 6),
        ("run = 99999999999999999999", "larger than", 7),
        ("run 20-10", "smaller number first", 5),
        ("run in 5", "behind 'in' comes", 8),
        ("run in (1 2)", "expected ',' or ')'", 11),
        ("run like 1%", "'like' is for texts", 10),
        ("name like '%%%%%%%%%'", "wildcards", 11),
        ("(run = 1", "expected ')'", 9),
        ("run = 1)", "expected 'and'", 8),
        ("run = 1 tier = raw", "expected 'and'", 9),
        ("tier = 'raw", "this quote does not end", 8),
        ("tier = raw; drop table catalog_files", "expected 'and'", 13),
        ("size > 3 parsecs", "expected 'and'", 10),
        ("size > 3parsecs", "size is a number with a unit", 8),
        ("begin_time > yesterday", "begin_time is a date or time", 14),
        ("begin_time > 9999-99-99", "begin_time is a date or time", 14),
        ("crc32c > 00000000", "only = and !=", 8),
        ("sha256 = abc", "64 hexadecimal digits", 10),
        ("isparentof: run = 1", "comes a query in parentheses", 13),
        ("defname:", "comes the name of a definition", 9),
        ("run = 1 with limits 3", "limit or offset", 14),
        ("and", "expected a condition", 1),
        ("run = 1 and \\", "means nothing here", 13),
        ("tier = 'a\0b'", "holds no NUL", 8),
        ("(" * 50 + "run = 1" + ")" * 50, "levels", 13),
        ("not " * 50 + "run = 1", "levels", 49),
        (" or ".join(["run = 1"] * 500), "conditions", 4401),
        ("x" * 70000, "at most 65536", 65537),
    ],
)  # fmt: skip
def test_a_mistake_is_pointed_at(written: str, told: str, column: int) -> None:
    with pytest.raises(QueryError) as caught:
        parse(written)
    sentence, line, marker = str(caught.value).split("\n")
    assert told in sentence
    assert sentence.endswith(f"(column {column})")
    assert len(line) < 400
    if "\0" not in written and len(written) < 60:
        assert marker == "  " + " " * (column - 1) + "^"
