"""A query as a tree. Its text is a query again, which gives the same tree."""

from typing import NamedTuple

from gm2sim.catalog.fields import FIELDS, Kind
from gm2sim.catalog.times import iso

Value = int | str


class Compare(NamedTuple):
    """``field op value`` with one of = != < <= > >=; false for a file that has no such value."""

    field: str
    operator: str
    value: Value

    def __str__(self) -> str:
        return f"{self.field} {self.operator} {_written(self.field, self.value)}"


class Like(NamedTuple):
    """``field like pattern``: % stands for any characters, all others for themselves."""

    field: str
    pattern: str

    def __str__(self) -> str:
        return f"{self.field} like {_quote(self.pattern)}"


class Range(NamedTuple):
    """``field low-high``, both ends included."""

    field: str
    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.field} in {self.low}-{self.high}"


class In(NamedTuple):
    """``field in (value, value, low-high)``."""

    field: str
    values: tuple[Value, ...]
    ranges: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        parts = [_written(self.field, value) for value in self.values] + [f"{a}-{b}" for a, b in self.ranges]
        return f"{self.field} in ({', '.join(parts)})"


class Not(NamedTuple):
    """``not term``."""

    term: "Node"

    def __str__(self) -> str:
        return f"not {_inside(self.term, (And, Or))}"


class And(NamedTuple):
    """``term and term ...``."""

    terms: tuple["Node", ...]

    def __str__(self) -> str:
        return " and ".join(_inside(term, (And, Or)) for term in self.terms)


class Or(NamedTuple):
    """``term or term ...``."""

    terms: tuple["Node", ...]

    def __str__(self) -> str:
        return " or ".join(_inside(term, (Or,)) for term in self.terms)


class IsParentOf(NamedTuple):
    """Files that a file of the inner query was made from."""

    term: "Node"

    def __str__(self) -> str:
        return f"isparentof: ({self.term})"


class IsChildOf(NamedTuple):
    """Files that were made from a file of the inner query."""

    term: "Node"

    def __str__(self) -> str:
        return f"ischildof: ({self.term})"


class Defined(NamedTuple):
    """Files of a definition, as its query finds them now."""

    name: str

    def __str__(self) -> str:
        return f"defname: {_quote(self.name)}"


class Frozen(NamedTuple):
    """Files of a snapshot."""

    snapshot: int

    def __str__(self) -> str:
        return f"snapshot_id {self.snapshot}"


OfField = Compare | Like | Range | In
Node = OfField | Not | And | Or | IsParentOf | IsChildOf | Defined | Frozen


class Query(NamedTuple):
    """A whole query; ``limit`` and ``offset`` count in the order run, subrun, declaration."""

    term: Node
    limit: int | None = None
    offset: int = 0

    def __str__(self) -> str:
        text = str(self.term)
        if self.limit is not None:
            text += f" with limit {self.limit}"
        return f"{text} with offset {self.offset}" if self.offset else text


def asks_for_status(node: Node) -> bool:
    """Whether a query says itself which states it wants; definitions and snapshots have their files already."""
    match node:
        case Compare() | Like() | In() | Range():
            return node.field == "status"
        case Not():
            return asks_for_status(node.term)
        case And() | Or():
            return any(asks_for_status(term) for term in node.terms)
        case Frozen() | Defined():
            return True
    return False


def _inside(node: Node, closed: tuple[type, ...]) -> str:
    return f"({node})" if isinstance(node, closed) else str(node)


def _written(field: str, value: Value) -> str:
    if isinstance(value, str):
        return _quote(value)
    return iso(value) if FIELDS[field].kind is Kind.TIME else str(value)


def _quote(text: str) -> str:
    body = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{body}'"
