"""Texts from outside: kept as they are, or refused in one sentence; shown so that no terminal obeys them."""

from gm2sim.errors import ConfigError

LONGEST = 4096
"""Characters that a free text (a folder, a preset, a description) may have."""
_SHOWN = 120  # characters of a text that a message quotes


class CatalogError(ConfigError):
    """A request to the catalogue that cannot be carried out: says what, where and how to mend it."""


def printable(text: object) -> str:
    """A text for the terminal: what would steer it (escapes, right-to-left marks, line ends) is written as a code."""
    return "".join(letter if letter.isprintable() else _code(letter) for letter in str(text))


def quoted(text: object) -> str:
    """A text for a message: printable, in quotes, and cut when it is long."""
    whole = str(text)
    if len(whole) <= _SHOWN:
        return f"'{printable(whole)}'"
    return f"'{printable(whole[:_SHOWN])}...' ({len(whole)} characters)"


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


def _code(letter: str) -> str:
    number = ord(letter)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
