"""Texts from outside: kept as they are, or refused in one sentence; shown so that no terminal obeys them."""

from gm2sim.errors import ConfigError
from gm2sim.text import visible

LONGEST = 4096
"""Characters that a free text (a folder, a preset, a description) may have."""
_SHOWN = 120  # characters of a text that a message quotes


class CatalogError(ConfigError):
    """A request to the catalogue that cannot be carried out: says what, where and how to mend it."""


def quoted(text: object) -> str:
    """A text for a message: harmless to look at, in quotes, and cut when it is long."""
    whole = str(text)
    if len(whole) <= _SHOWN:
        return f"'{visible(whole, lines=False)}'"
    return f"'{visible(whole[:_SHOWN], lines=False)}...' ({len(whole)} characters)"


def free_text(what: str, text: object, longest: int = LONGEST) -> str:
    """A text that may hold anything but NUL and halves of characters, which databases do not store.

    Parameters
    ----------
    what : str
        Its name in the message.
    text : object
    longest : int
        Characters that it may have.

    Raises
    ------
    CatalogError
        It is no text, too long, or cannot be stored as it is.
    """
    if not isinstance(text, str):
        raise CatalogError(f"{what} is {quoted(text)}, not a text: write it in quotes")
    if len(text) > longest:
        raise CatalogError(f"{what} has {len(text)} characters: at most {longest} are kept, shorten it")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise CatalogError(f"{what} {quoted(text)} holds a NUL or half a character: write it without")
    return text
