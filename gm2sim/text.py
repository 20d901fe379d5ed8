"""Text from outside, made harmless to look at."""

import re
from unicodedata import category

_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, formats (direction, no width), halves of pairs, line ends
_BEYOND_LINES = re.compile(r"[^\n\t -~]")
_BEYOND_WORDS = re.compile(r"[^ -~]")
_LONGEST_LINE = 2000
_LONGEST_LABEL = 40


def visible(text: object, *, lines: bool = True) -> str:
    """Text with every character that would steer a terminal, turn the direction of reading or hide, as its code.

    Parameters
    ----------
    text : object
    lines : bool
        Lines and tabs stay; else they are written as codes too.
    """
    return (_BEYOND_LINES if lines else _BEYOND_WORDS).sub(_shown, str(text))


def one_line(text: object, longest: int = _LONGEST_LINE) -> str:
    """The same on one line that a person can take in: longer text ends in an ellipsis."""
    line = visible(text).replace("\n", "\\n").replace("\t", " ")
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def label(text: object) -> str:
    """A name of others for a picture: short, in letters that every font has, and no formula."""
    plain = one_line(text, _LONGEST_LABEL).encode("latin-1", "backslashreplace").decode("latin-1")
    return plain[:_LONGEST_LABEL].replace("$", r"\$")


def _shown(found: re.Match[str]) -> str:
    letter = found[0]
    if category(letter) not in _STEERING:
        return letter
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")
