"""Reads queries: ``run>=15921 and run<=15991 and tier=raw``.

::

    query  = any {"with" ("limit" | "offset") number}
    any    = all {"or" all}
    all    = one {"and" one}
    one    = "not" one | "(" any ")" | ("isparentof:" | "ischildof:") "(" any ")" | "defname:" name
           | "snapshot_id" number | field condition
    condition = ("=" | "!=" | "<" | "<=" | ">" | ">=") value | ["="] value | ["in"] low-high
           | ["not"] "in" "(" (value | low-high) {"," ...} ")" | ["not"] "like" pattern

Written by hand, one function for each line, so that every complaint can point at its place.
"""

import re
from typing import NoReturn

from gm2sim.catalog import syntax
from gm2sim.catalog.fields import BY_ALIAS, Field, Kind
from gm2sim.catalog.lexer import Token, complain, tokens
from gm2sim.catalog.record import PREFIX
from gm2sim.catalog.text import quoted
from gm2sim.catalog.times import microseconds
from gm2sim.errors import nearest

_DEEPEST = 12  # parentheses within parentheses: SQLite reads a hundred levels, of which each may take several
_MOST_TERMS = 400  # SQLite takes expressions of depth 1000
_MOST_VALUES = 10_000
_MOST_WILDCARDS = 8  # each multiplies the time that a pattern may take
_LARGEST = 2**63 - 1
_COMPARISONS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_UNITS = {"": 1, "b": 1} | {
    f"{prefix}{kind}b": (1024 if kind else 1000) ** power
    for power, prefix in enumerate("kmgt", start=1)
    for kind in ("", "i")
}
_NUMBER = re.compile(r"[0-9]+")
_RANGE = re.compile(r"([0-9]+)-([0-9]+)")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)")


def parse(query: str) -> syntax.Query:
    """The tree of a query.

    Raises
    ------
    gm2sim.catalog.lexer.QueryError
        It cannot be read: says why and where.
    """
    return _Parser(query).query()


class _Parser:
    def __init__(self, query: str) -> None:
        self._query = query
        self._tokens = tokens(query)
        self._next = 0
        self._depth = 0
        self._terms = 0

    def query(self) -> syntax.Query:
        if self._here.kind == "end":
            self._complain(self._here, "the query is empty: for all files write name like %")
        term = self._any()
        found: dict[str, int] = {}
        while self._word("with"):
            what = self._take()
            if what.text.lower() not in ("limit", "offset") or what.text.lower() in found:
                self._complain(what, "behind 'with' comes limit or offset, once each")
            found[what.text.lower()] = self._number(self._take(), "a whole number")
        if self._here.kind != "end":
            self._complain(self._here, "expected 'and', 'or', 'with' or the end")
        return syntax.Query(term, found.get("limit"), found.get("offset", 0))

    def _any(self) -> syntax.Node:
        terms = [self._all()]
        while self._word("or"):
            terms.append(self._all())
        return terms[0] if len(terms) == 1 else syntax.Or(tuple(terms))

    def _all(self) -> syntax.Node:
        terms = [self._one()]
        while self._word("and"):
            terms.append(self._one())
        return terms[0] if len(terms) == 1 else syntax.And(tuple(terms))

    def _one(self) -> syntax.Node:
        self._depth += 1
        self._terms += 1
        if self._depth > _DEEPEST or self._terms > _MOST_TERMS:
            self._complain(self._here, f"more than {_DEEPEST} levels or {_MOST_TERMS} conditions: use definitions")
        node = self._one_within()
        self._depth -= 1
        return node

    def _one_within(self) -> syntax.Node:
        token = self._take()
        word = token.text.lower() if token.kind == "word" else ""
        if token == Token("sign", "(", token.column):
            return self._closed()
        if word == "not":
            return syntax.Not(self._one())
        if word in ("isparentof:", "ischildof:"):
            opening = self._take()
            if opening.text != "(":
                self._complain(opening, f"behind '{word}' comes a query in parentheses")
            return syntax.IsParentOf(self._closed()) if word == "isparentof:" else syntax.IsChildOf(self._closed())
        if word.startswith("defname:"):
            return self._defined(token)
        if word in ("snapshot_id", "snapshot_id:"):
            if self._here.text == "=":
                self._take()
            return syntax.Frozen(self._number(self._take(), "the number of a snapshot"))
        if token.kind != "word" or word in ("and", "or", "with", "in", "like"):
            self._complain(token, "expected a condition, for example run >= 15921")
        if word not in BY_ALIAS:
            self._complain(token, f"there is no field {quoted(token.text)}: {nearest(word[:100], BY_ALIAS)}")
        return self._condition(BY_ALIAS[word])

    def _closed(self) -> syntax.Node:
        node = self._any()
        closing = self._take()
        if closing != Token("sign", ")", closing.column):
            self._complain(closing, "expected ')'")
        return node

    def _defined(self, token: Token) -> syntax.Node:
        name = token.text[len("defname:") :]
        named = Token("word", name, token.column + len("defname:")) if name else self._take()
        if named.kind not in ("word", "quoted") or not named.text:
            self._complain(named, f"behind 'defname:' comes the name of a definition, {PREFIX}...")
        self._storable(named)
        return syntax.Defined(named.text)

    def _condition(self, field: Field) -> syntax.Node:
        token = self._take()
        word = token.text.lower() if token.kind == "word" else ""
        if word == "not" and self._here.text.lower() in ("in", "like"):
            return syntax.Not(self._condition(field))
        if word == "in":
            return self._in(field)
        if word == "like":
            return self._like(field)
        if token.kind == "sign" and token.text in _COMPARISONS:
            operator = _COMPARISONS[token.text]
            if field.kind in (Kind.SUM8, Kind.SUM64) and operator not in ("=", "!="):
                self._complain(token, f"{field.name} is a checksum: only = and != make sense")
            return syntax.Compare(field.name, operator, self._value(field, self._take()))
        if limits := self._range(field, token):
            return syntax.Range(field.name, *limits)
        return syntax.Compare(field.name, "=", self._value(field, token))

    def _in(self, field: Field) -> syntax.Node:
        token = self._take()
        if limits := self._range(field, token):
            return syntax.Range(field.name, *limits)
        if token.text != "(" or token.kind != "sign":
            self._complain(token, "behind 'in' comes (value, value ...) or a range of numbers such as 15921-15991")
        values: list[syntax.Value] = []
        ranges: list[tuple[int, int]] = []
        while True:
            token = self._take()
            limits = self._range(field, token)
            if limits:
                ranges.append(limits)
                self._terms += 1
            else:
                values.append(self._value(field, token))
            if len(values) > _MOST_VALUES or self._terms > _MOST_TERMS:
                self._complain(token, f"more than {_MOST_VALUES} values or {_MOST_TERMS} ranges: use definitions")
            behind = self._take()
            if behind == Token("sign", ")", behind.column):
                return syntax.In(field.name, tuple(values), tuple(ranges))
            if behind != Token("sign", ",", behind.column):
                self._complain(behind, "expected ',' or ')'")

    def _like(self, field: Field) -> syntax.Node:
        token = self._take()
        if field.kind is not Kind.TEXT:
            self._complain(token, f"{field.name} is {field.kind.value}: 'like' is for texts")
        pattern = str(self._value(field, token))
        if pattern.count("%") > _MOST_WILDCARDS:
            self._complain(token, f"more than {_MOST_WILDCARDS} wildcards '%'")
        return syntax.Like(field.name, pattern)

    def _value(self, field: Field, token: Token) -> syntax.Value:
        if token.kind not in ("word", "quoted"):
            self._complain(token, f"expected {field.kind.value}")
        match field.kind:
            case Kind.NUMBER:
                return self._number(token, f"{field.name} is {field.kind.value}")
            case Kind.SIZE:
                return self._size(token)
            case Kind.TIME:
                return self._time(field, token)
            case Kind.SUM8 | Kind.SUM64:
                digits = 8 if field.kind is Kind.SUM8 else 64
                if not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", token.text):
                    self._complain(token, f"{field.name} is {field.kind.value}")
                return token.text.lower()
        self._storable(token)
        return token.text

    def _storable(self, token: Token) -> None:
        if "\0" in token.text or any("\ud800" <= letter <= "\udfff" for letter in token.text):
            self._complain(token, "a text holds no NUL and no half of a character")

    def _number(self, token: Token, sentence: str) -> int:
        if token.kind not in ("word", "quoted") or not _NUMBER.fullmatch(token.text):
            self._complain(token, f"{sentence}, not {quoted(token.text)}" if token.text else f"expected {sentence}")
        return self._fits(token, int(token.text) if len(token.text) < 40 else _LARGEST + 1)

    def _size(self, token: Token) -> int:
        match = _SIZE.fullmatch(token.text)
        unit = match.group(2) if match else ""
        if match and not unit and self._here.kind == "word" and self._here.text.lower() in _UNITS:
            unit = self._take().text
        if match is None or unit.lower() not in _UNITS or len(match.group(1)) > 40:
            self._complain(token, "size is a number with a unit: kB MB GB TB, KiB MiB GiB TiB, or none for bytes")
        number = match.group(1)
        whole, _, part = number.partition(".")
        scale = _UNITS[unit.lower()]
        return self._fits(token, int(whole) * scale + (int(part) * scale // 10 ** len(part) if part else 0))

    def _time(self, field: Field, token: Token) -> int:
        try:
            return microseconds(token.text)
        except (ValueError, OverflowError):
            self._complain(token, f"{field.name} is {field.kind.value}")

    def _range(self, field: Field, token: Token) -> tuple[int, int] | None:
        match = _RANGE.fullmatch(token.text) if token.kind == "word" and field.kind is Kind.NUMBER else None
        if match is None:
            return None
        low, high = (self._number(Token("word", part, token.column), "a whole number") for part in match.groups())
        if low > high:
            self._complain(token, f"the range {low}-{high} is empty: write the smaller number first")
        return low, high

    def _fits(self, token: Token, number: int) -> int:
        if number > _LARGEST:
            self._complain(token, f"the number is larger than {_LARGEST}")
        return number

    @property
    def _here(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._here
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _word(self, word: str) -> bool:
        if self._here.kind == "word" and self._here.text.lower() == word:
            self._take()
            return True
        return False

    def _complain(self, token: Token, sentence: str) -> NoReturn:
        complain(self._query, token.column, sentence)
