"""Waveforms as the digitiser boards send them: one payload a board, board after board in a bank (CRnn, LRnn, PRnn).

Words of 64 bits, most significant byte first; layouts of the firmware of the experiment's WFD5 boards
(PIONEER-Experiment/mfpga @bc670c6, command_manager.v; cfpga @e24bed6, adc_dat_mux.v). Samples are 16-bit words, least
significant byte first, in time order, as boards set to little-endian samples leave them on the disk.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.midas import Buffer

CHANNELS = 5  # of a board
BOARDS = 12  # of a crate, in slots 1 to 12
BURST = 8  # samples that the memory of a board holds in one word of 128 bits
FIRMWARE = (2, 3, 5)  # E989 ran 2.3.x
MOST_SAMPLES = BURST * (2**23 - 1)

_BOARD_TYPE = 1  # WFD5
_LITTLE_ENDIAN = 1 << 58
_MARK = 1 << 62  # of channel headers and second words of waveform headers
_HEAD, _CHANNEL, _WAVEFORM, _CHANNEL_END, _END = 3, 2, 2, 3, 1  # words
_CLOCK = 40_000_000  # of the time stamps [Hz]


@dataclass(frozen=True)
class WaveformRecord:
    """The waveforms that one crate sends for one trigger.

    Parameters
    ----------
    crate : int
        1 to 99: calorimeters are 1 to 24.
    channels : tuple of int
        Number of each channel in its crate: 5 (slot - 1) + channel of the board; ascending.
    samples : int16 array (channels, waveforms, length)
        A trigger may be answered by several waveforms of each channel. The length is a multiple of 8.
    gap : int
        Samples between the starts of two waveforms less the length.

    Raises
    ------
    ValueError
        Numbers are out of range, or do not fit together.
    """

    crate: int
    channels: tuple[int, ...]
    samples: NDArray[np.int16]
    gap: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.crate <= 99:
            raise ValueError(f"crate {self.crate} has no bank name: give 1 to 99")
        if self.samples.dtype != np.int16 or self.samples.ndim != 3:
            raise ValueError(f"waveforms must be int16 (channels, waveforms, samples), got {self.samples.dtype} "
                             f"of shape {self.samples.shape}")  # fmt: skip
        length = self.samples.shape[2]
        if length % BURST or not BURST <= length <= MOST_SAMPLES:
            raise ValueError(f"waveforms of {length} samples: give a multiple of {BURST}, {MOST_SAMPLES} at most")
        if not 1 <= self.samples.shape[1] < 2**12:
            raise ValueError(f"{self.samples.shape[1]} waveforms for one trigger: give 1 to {2**12 - 1}")
        if len(self.channels) != self.samples.shape[0]:
            raise ValueError(f"{len(self.channels)} channel numbers for {self.samples.shape[0]} channels")
        if list(self.channels) != sorted(set(self.channels)) or not set(self.channels) <= set(range(CHANNELS * BOARDS)):
            raise ValueError(f"channels must ascend within 0 to {CHANNELS * BOARDS - 1}, each once")


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

    @staticmethod
    def counts(seconds: float, detuning_ppm: float = 0.0) -> int:
        """Counts of the clock, which may run a little faster than 40 MHz, after so many seconds."""
        return round(seconds * _CLOCK * (1.0 + 1e-6 * detuning_ppm))


def payloads(record: WaveformRecord, trigger: Trigger) -> Iterator[Buffer]:
    """The payload of each board that has channels in the record, in order of the slots.

    Parameters
    ----------
    record : WaveformRecord
    trigger : Trigger
    """
    boards = np.array(record.channels, np.int64) // CHANNELS
    for board in np.unique(boards):
        rows = np.flatnonzero(boards == board)
        inputs = [record.channels[row] % CHANNELS for row in rows]
        yield _payload(int(board) + 1, inputs, record.samples[rows], record.gap, trigger)


def _payload(slot: int, inputs: list[int], samples: NDArray[np.int16], gap: int, trigger: Trigger) -> Buffer:
    """Headers, channels, check sums and trailer of one board."""
    channels, waveforms, length = samples.shape
    bursts = length // BURST
    of_waveform = _WAVEFORM + 2 * bursts
    of_channel = _CHANNEL + waveforms * of_waveform + _CHANNEL_END
    size = _HEAD + channels * of_channel + _END
    number, clock, kind = trigger.number & 0xFFFFFF, trigger.clock & (2**44 - 1), trigger.fill_type
    words = np.zeros(size, ">u8")
    enabled = sum(1 << channel for channel in inputs)
    board_id = slot  # of no known meaning beyond a serial number
    words[0] = slot << 56 | number << 32 | clock >> 32 << 20 | size
    words[1] = (enabled << 59 | _LITTLE_ENDIAN | kind << 48 | (clock & 0xFFFFFFFF) << 16 | _BOARD_TYPE << 13
                | (kind >> 2 & 1) << 12 | board_id)  # fmt: skip
    words[2] = FIRMWARE[0] << 16 | FIRMWARE[1] << 8 | FIRMWARE[2]
    body = words[_HEAD : size - _END].reshape(channels, of_channel)
    body[:, 0] = [_MARK | channel << 46 | gap << 24 | waveforms << 12 for channel in inputs]
    body[:, 1] = bursts << 27 | kind << 24 | number
    block = body[:, _CHANNEL : of_channel - _CHANNEL_END].reshape(channels, waveforms, of_waveform)
    block[..., 0] = waveforms << 52 | (kind & 3) << 23 | bursts
    for row, channel in enumerate(inputs):
        block[row, :, 1] = _MARK | channel << 34 | gap << 12 | np.arange(waveforms)
    data = block[..., _WAVEFORM:]
    data.view("<i2").reshape(channels, waveforms, length)[:] = samples
    # Before the board turns the bytes of samples round, a word's value is that of its bytes read from the other end.
    turned = data.view("<u8")
    for half in (0, 1):
        check = body[:, half].astype("<u8") ^ np.bitwise_xor.reduce(block[..., half].astype("<u8"), axis=1)
        body[:, of_channel - _CHANNEL_END + half] = check ^ np.bitwise_xor.reduce(
            turned[..., half::2].reshape(channels, -1), axis=1
        )
    body[:, of_channel - 1] = (clock + length * waveforms // 20) & 0xFFFFFFFF  # read out when all are taken
    words[-1] = (number & 0xFF) << 24 | size
    low = int(words[-1]).to_bytes(8, "little")[:4]
    crc = zlib.crc32(low, zlib.crc32(words[:-1].astype("<u8").data))
    words[-1] |= np.uint64(crc << 32)
    return words.data.cast("B")
