"""The trigger that an event answers, as every board knows it."""

from dataclasses import dataclass

_CLOCK = 40_000_000  # of the time stamps [Hz]


@dataclass(frozen=True)
class Trigger:
    """What every board knows of the trigger that it answers.

    Parameters
    ----------
    number : int
        Of the trigger, its low 24 bits are sent.
    fill_type : int
        1 muon, 2 laser, 3 pedestal, 4 asynchronous.
    clock : int
        Counts of the 40 MHz clock since the begin of run, its low 44 bits are sent.
    """

    number: int
    fill_type: int
    clock: int

    @property
    def low_number(self) -> int:
        """What is sent of the number."""
        return self.number & 0xFFFFFF

    @property
    def low_clock(self) -> int:
        """What is sent of the clock."""
        return self.clock & (2**44 - 1)

    @staticmethod
    def counts(seconds: float, detuning_ppm: float = 0.0) -> int:
        """Counts of the clock, which may run a little faster than 40 MHz, after so many seconds."""
        return round(seconds * _CLOCK * (1.0 + 1e-6 * detuning_ppm))
