"""The one sentence a person gets for a wrong request."""

import difflib
from collections.abc import Iterable
from typing import Any

_AS_NEAR = 0.02  # difference of likeness that does not matter


class ConfigError(ValueError):
    """A request that cannot be carried out as written: says what, where and how to mend it."""

    @property
    def lines(self) -> list[str]:
        """What a person is shown: the sentence, and a picture of the place where there is one."""
        return [str(self)]


class NewerFormatError(ConfigError):
    """A file of a format that only a later version of the program knows."""


def refuse_newer(what: str, found: Any, known: int) -> None:
    """Say in one sentence that a file is newer than the program.

    Parameters
    ----------
    what : str
        The file, as a person knows it.
    found : int
        Format that the file says it is of.
    known : int
        Newest format that this version reads.

    Raises
    ------
    NewerFormatError
        ``found`` is above ``known``, or no number.
    """
    try:
        readable = int(found) <= known
    except (TypeError, ValueError):
        readable = False
    if not readable:
        raise NewerFormatError(
            f"{what} is of format {str(found)[:20]}, this gm2sim reads formats up to {known}: update gm2sim"
        )


def nearest(name: str, valid: Iterable[str]) -> str:
    """The valid name closest to ``name``, as a clause for a message; lists all when nothing is close.

    Parameters
    ----------
    name : str
        What was written.
    valid : iterable of str
        What may be written.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if not close:
        return f"valid names: {', '.join(names)}"
    likeness = {one: difflib.SequenceMatcher(None, name, one).ratio() for one in close}
    best = max(likeness.values())
    # Several names may be one letter away (x and y): all that are as near are offered.
    return f"did you mean {' or '.join(repr(one) for one in close if likeness[one] > best - _AS_NEAR)}?"


class RunError(RuntimeError):
    """Work that failed under way: says what, where, and how to go on."""
