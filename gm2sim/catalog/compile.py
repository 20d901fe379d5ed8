"""Turns the tree of a query into conditions of SQLAlchemy: every value is bound, no SQL is made from text."""

import operator
from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    select,
)

from gm2sim.catalog import syntax
from gm2sim.catalog.fields import FIELDS, Kind
from gm2sim.catalog.parser import parse
from gm2sim.catalog.schema import (
    campaigns,
    copies,
    definitions,
    files,
    folders,
    parents,
    settings,
    snapshot_files,
    snapshots,
)
from gm2sim.catalog.text import CatalogError, quoted
from gm2sim.errors import nearest

Condition = ColumnElement[bool]

_BEYOND = 2**31  # no run or subrun is so large
_DEEPEST = 20  # definitions of definitions
_OPERATORS: dict[str, Callable[[Any, Any], Condition]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_OF_SETTINGS = ("version", "config_hash", "seed", "preset", "conditions")
_OF_CAMPAIGNS = {"campaign": campaigns.c.name, "owner": campaigns.c.owner}
ORDER = (files.c.run, files.c.subrun, files.c.id)
"""The order of every list; one index holds it."""


def select_ids(connection: Connection, query: syntax.Query, depth: int = 0) -> Select[Any]:
    """The numbers of the files that a query finds.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        Where definitions are looked up.
    query : syntax.Query
    depth : int
        Definitions that led here.

    Raises
    ------
    CatalogError
        A definition or a snapshot that is not there.
    """
    found = select(files.c.id).where(where(connection, query, depth))
    if query.limit is None and not query.offset:
        return found
    return found.order_by(*ORDER).limit(query.limit if query.limit is not None else 2**62).offset(query.offset)


def where(connection: Connection, query: syntax.Query, depth: int = 0) -> Condition:
    """The condition of a query, without its limit; files that are not good are left out unless it asks for them."""
    return _good_unless_asked(_Compiler(connection, depth), query.term)


def _good_unless_asked(compiler: "_Compiler", node: syntax.Node) -> Condition:
    if isinstance(node, syntax.Or):  # each of its terms asks for itself
        return or_(*(_good_unless_asked(compiler, term) for term in node.terms))
    condition = compiler.condition(node)
    return condition if syntax.asks_for_status(node) else and_(condition, files.c.status == "good")


class _Compiler:
    def __init__(self, connection: Connection, depth: int) -> None:
        self._connection = connection
        self._depth = depth
        self._sqlite = connection.dialect.name == "sqlite"

    def condition(self, node: syntax.Node) -> Condition:
        match node:
            case syntax.And():
                return and_(*(self.condition(term) for term in node.terms))
            case syntax.Or():
                return or_(*(self.condition(term) for term in node.terms))
            case syntax.Not():
                # A comparison with what a file lacks is false, so that its opposite is true.
                return not_(func.coalesce(self.condition(node.term), false()))
            case syntax.IsParentOf():
                children = _set(select(files.c.id).where(self.condition(node.term)))
                return files.c.id.in_(select(parents.c.parent_id).where(parents.c.child_id.in_(children)))
            case syntax.IsChildOf():
                made_from = _set(select(files.c.id).where(self.condition(node.term)))
                return files.c.id.in_(select(parents.c.child_id).where(parents.c.parent_id.in_(made_from)))
            case syntax.Defined():
                return self._defined(node.name)
            case syntax.Frozen():
                return self._frozen(node.snapshot)
            case syntax.Compare() | syntax.Like() | syntax.Range() | syntax.In():
                return self._of_field(node)

    def _of_field(self, node: syntax.OfField) -> Condition:
        name = node.field
        if name in _OF_CAMPAIGNS:
            found = select(campaigns.c.id).where(self._on(_OF_CAMPAIGNS[name], node))
            if name == "campaign" and isinstance(node, syntax.Compare) and node.operator == "=":
                return files.c.campaign_id == found.scalar_subquery()
            return files.c.campaign_id.in_(found)
        if name in _OF_SETTINGS:
            return files.c.settings_id.in_(select(settings.c.id).where(self._on(settings.c[name], node)))
        if name == "folder":
            here = select(folders.c.id).where(self._on(folders.c.path, node))
            copied = select(copies.c.file_id).where(copies.c.folder_id.in_(here))
            return or_(files.c.folder_id.in_(here), files.c.id.in_(copied))
        condition = self._on(files.c[name], node)
        return (
            and_(condition, files.c[name] >= 0) if name in ("run", "subrun") and _may_be_negative(node) else condition
        )

    def _on(self, column: ColumnElement[Any], node: syntax.OfField) -> Condition:
        match node:
            case syntax.Compare():
                return _OPERATORS[node.operator](column, self._bound(node.field, node.value))
            case syntax.Range():
                return and_(column >= self._bound(node.field, node.low), column <= self._bound(node.field, node.high))
            case syntax.In():
                values = [self._plain(node.field, value) for value in node.values]
                if isinstance(column.type, Integer) and not isinstance(column.type, BigInteger):
                    values = [value for value in values if isinstance(value, int) and value < _BEYOND]
                single = [column.in_(values)] if values else []
                return or_(
                    false(), *single, *(self._on(column, syntax.Range(node.field, *limits)) for limits in node.ranges)
                )
            case syntax.Like():
                return self._like(column, node.pattern)

    def _like(self, column: ColumnElement[Any], pattern: str) -> Condition:
        # LIKE of SQLite does not tell large letters from small ones; GLOB does, and uses the index.
        if self._sqlite:
            special = {"*": "[*]", "?": "[?]", "[": "[[]", "%": "*"}
            return column.op("GLOB", is_comparison=True)("".join(special.get(letter, letter) for letter in pattern))
        escaped = {"\\": "\\\\", "_": "\\_"}
        return column.like("".join(escaped.get(letter, letter) for letter in pattern), escape="\\")

    def _bound(self, field: str, value: int | str) -> ColumnElement[Any]:
        plain = self._plain(field, value)
        # 64 bits whatever the size of the column: a number that no run can have finds nothing and breaks nothing.
        return (
            cast(literal(plain, BigInteger), BigInteger)
            if isinstance(plain, int) and plain >= _BEYOND
            else literal(plain)
        )

    @staticmethod
    def _plain(field: str, value: int | str) -> int | str | bytes:
        kind = FIELDS[field].kind
        if kind is Kind.SUM8:
            return int(str(value), 16)
        return bytes.fromhex(str(value)) if kind is Kind.SUM64 else value

    def _defined(self, name: str) -> Condition:
        text = self._connection.execute(select(definitions.c.query).where(definitions.c.name == name)).scalar()
        if text is None:
            known = self._connection.execute(select(definitions.c.name).limit(1000)).scalars().all()
            hint = nearest(name[:200], known) if known else "none is made yet, `gm2sim catalog define` does"
            raise CatalogError(f"there is no definition {quoted(name)}: {hint}")
        if self._depth >= _DEEPEST:
            raise CatalogError(f"definition {quoted(name)} is {_DEEPEST} definitions deep: write one query")
        return files.c.id.in_(_set(select_ids(self._connection, parse(text), self._depth + 1)))

    def _frozen(self, snapshot: int) -> Condition:
        known = select(snapshots.c.id).where(snapshots.c.id == literal(snapshot, BigInteger))
        if self._connection.execute(known).scalar() is None:
            raise CatalogError(f"there is no snapshot {snapshot}: `gm2sim catalog snapshots` lists them")
        return files.c.id.in_(select(snapshot_files.c.file_id).where(snapshot_files.c.snapshot_id == snapshot))


def _set(ids: Select[Any]) -> Select[Any]:
    # A WITH of its own: SQLite reads statements only a hundred levels deep.
    return select(ids.cte().c.id)


def _may_be_negative(node: syntax.OfField) -> bool:
    """Whether a condition could take the number of a file without a run for one."""
    return isinstance(node, syntax.Compare) and node.operator in ("<", "<=", "!=")
