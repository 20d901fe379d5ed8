"""Words, quoted texts and signs of a query, each with its column."""

import re
from typing import NamedTuple, NoReturn

from gm2sim.catalog.text import CatalogError
from gm2sim.text import visible

LONGEST = 65536
"""Characters that a query may have."""
_AROUND = 60  # characters of the query that are shown on each side of the mistake
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<sign><=|>=|!=|==|<>|[=<>(),])
      | (?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<word>[^\s<>=!(),'"\\]+)""",
    re.VERBOSE | re.DOTALL,
)


class QueryError(CatalogError):
    """A query that cannot be read: says what is wrong and points at the place."""

    @property
    def lines(self) -> list[str]:
        """The sentence, the query, and ^ under the place."""
        return str(self).split("\n")


class Token(NamedTuple):
    """A piece of a query; ``kind`` is word, quoted, sign or end."""

    kind: str
    text: str
    column: int  # from 0


def complain(query: str, column: int, sentence: str) -> NoReturn:
    """Raise QueryError: the sentence, the query, and ^ under the column."""
    begin, end = max(0, column - _AROUND), column + _AROUND
    before, behind = visible(query[begin:column], lines=False), visible(query[column:end], lines=False)
    left, right = "..." if begin else "", "..." if end < len(query) else ""
    line = f"{left}{before}{behind}{right}"
    raise QueryError(f"{sentence} (column {column + 1})\n  {line}\n  {' ' * len(left + before)}^")


def tokens(query: str) -> list[Token]:
    """The pieces of a query; the last is of kind ``end``.

    Raises
    ------
    QueryError
        A character that means nothing, a quote that does not end, or a query that is too long.
    """
    if len(query) > LONGEST:
        complain(query, LONGEST, f"the query has {len(query)} characters, at most {LONGEST} are read")
    found: list[Token] = []
    column = 0
    while column < len(query):
        match = _TOKEN.match(query, column)
        if match is None:
            letter = query[column]
            unknown = f"'{visible(letter, lines=False)}' means nothing here"
            complain(query, column, "this quote does not end" if letter in "'\"" else unknown)
        kind = str(match.lastgroup)
        if kind == "quoted":
            found.append(Token(kind, re.sub(r"\\(.)", r"\1", match.group()[1:-1], flags=re.DOTALL), column))
        elif kind != "space":
            found.append(Token(kind, match.group(), column))
        column = match.end()
    return [*found, Token("end", "", len(query))]
