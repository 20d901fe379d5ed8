"""Faults as a person writes them: ``KIND[:ARGUMENT][@EVENT]``."""

import re
from typing import NamedTuple

from gm2sim.errors import ConfigError, nearest

KINDS = {
    "drop-bank": "a bank name or pattern, CR03 or CT*",
    "bitflip": "how many flips, or a rate per bit with a point or exponent; then headers, payload or anywhere",
    "truncate": "a byte, or a fraction of the file with a point",
    "swap": "two event numbers with a comma",
    "duplicate": "an event number",
    "drop-event": "an event number",
    "wrong-serial": "an event number",
    "wrong-size": "a bank name, whose size is made wrong in place of the event's",
    "zero-block": "bytes of zeros",
}
"""What may be injected, and what stands behind the colon."""
WHERE = ("headers", "payload", "anywhere")
MOST_FLIPS = 1_000_000

_OF_EVENT = ("duplicate", "drop-event", "wrong-serial")  # their argument is the event
_NO_EVENT = ("swap",)


class Fault(NamedTuple):
    """One fault as it was asked for.

    Attributes
    ----------
    kind : str
    argument : str
        Empty where nothing was said.
    event : int or None
        Serial number; None leaves the choice to the seed.
    """

    kind: str
    argument: str = ""
    event: int | None = None

    def __str__(self) -> str:
        return self.kind + (f":{self.argument}" if self.argument else "") + _at(self.event)

    @classmethod
    def of(cls, text: str) -> "Fault":
        """Read one.

        Raises
        ------
        ConfigError
            The kind is not known, or its argument makes no sense.
        """
        words, sign, number = text.partition("@")
        kind, _, argument = words.partition(":")
        if kind not in KINDS:
            raise ConfigError(f"--fault {text}: there is no kind '{kind}': {nearest(kind, KINDS)}")
        if kind in _OF_EVENT and argument:
            if sign:
                raise _wrong(text, kind)
            argument, sign, number = "", "@", argument
        if (sign and not number.isdecimal()) or (sign and kind in _NO_EVENT) or not _fits(kind, argument):
            raise _wrong(text, kind)
        return cls(kind, argument, int(number) if sign else None)

    @property
    def flips(self) -> tuple[float, bool, str]:
        """Of a bitflip: number or rate, whether it is a rate, and where."""
        amount, _, where = self.argument.partition(":")
        if amount in WHERE:
            amount, where = "", amount
        rate = not amount.isdecimal() and bool(amount)
        return float(amount or 1), rate, where or "anywhere"


def _at(event: int | None) -> str:
    return "" if event is None else f"@{event}"


def _wrong(text: str, kind: str) -> ConfigError:
    return ConfigError(f"--fault {text} is not understood: behind '{kind}:' stands {KINDS[kind]}; then @ and an event "
                       "number, to choose the event")  # fmt: skip


def _fits(kind: str, argument: str) -> bool:
    """Whether an argument has the form that its kind wants."""
    number, rate = r"\d{1,15}", r"(\d+\.\d*|\.?\d+)([eE]-?\d{1,3})?"
    where = "|".join(WHERE)
    forms = {
        "drop-bank": r"[!-~]{1,16}",
        "bitflip": rf"({rate}|{where}|{rate}:({where}))?",
        "truncate": rf"({number}|0?\.\d+|1\.0*)?",
        "swap": rf"({number},{number})?",
        "wrong-size": r"([!-~]{1,16})?",
        "zero-block": r"([1-9]\d{0,9})?",
    }
    return re.fullmatch(forms.get(kind, ""), argument) is not None
