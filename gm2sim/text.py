"""Text from outside, made harmless to look at."""

import re

# Control characters of ASCII and Latin-1, marks of direction, halves of pairs that no encoding knows.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST_LINE = 2000
_LONGEST_LABEL = 40


def visible(text: object) -> str:
    """Text with every character that would steer a terminal, or turn the direction of reading, written as its code.

    Lines and tabs stay.
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), str(text))


def one_line(text: object, longest: int = _LONGEST_LINE) -> str:
    """The same on one line that a person can take in: longer text ends in an ellipsis."""
    line = visible(text).replace("\n", "\\n").replace("\t", " ")
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def label(text: object) -> str:
    """A name of others for a picture: short, in letters that every font has, and no formula."""
    plain = one_line(text, _LONGEST_LABEL).encode("latin-1", "backslashreplace").decode("latin-1")
    return plain[:_LONGEST_LABEL].replace("$", r"\$")
