"""The one sentence a person gets for a wrong request."""

import difflib
from collections.abc import Iterable

_AS_NEAR = 0.02  # difference of likeness that does not matter


class ConfigError(ValueError):
    """A request that cannot be carried out as written: says what, where and how to mend it."""


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
