"""One bank of one event of a raw file: an island, whole waveforms, the sum, a histogram."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from gm2sim.atomic import write_bytes
from gm2sim.errors import ConfigError, nearest
from gm2sim.plots.style import BLUE, COLOUR_MAP, GRID, INK, MUTED, PALETTE, US, Plot, dress
from gm2sim.raw import Event, RawRun, Waveforms, open_run
from gm2sim.raw.tools.output import refuse_to_overwrite

Floats = NDArray[np.floating]

PICTURES = (".png", ".svg", ".pdf")
COLUMNS, ROWS = 9, 6  # crystals of a calorimeter
_CALORIMETERS = 24
_MOST_POINTS = 2000  # longer waveforms are drawn as the band between lowest and highest sample
_NS = 1e9
_LONG = 3e-6  # waveforms longer than this have microseconds on their axis [s]


def write_picture(path: Path, event: str | int, bank: str, out: Path, island: int | None = None) -> Plot:
    """Draw one bank of one event into a file.

    Parameters
    ----------
    path : Path
        A raw file.
    event : int or str
        Serial number.
    bank : str
        CT, CS, CQ, CR, LR or PR and the number of the crate.
    out : Path
        ``.png``, ``.svg`` or ``.pdf``.
    island : int, optional
        Of a bank CT; the one with the deepest pulse when left out.

    Raises
    ------
    ConfigError
        The event, bank or island is not there, there is no picture of it, or the file is there already.
    """
    if out.suffix not in PICTURES:
        raise ConfigError(f"--plot {out} does not end in {', '.join(PICTURES)}: give the file such an ending")
    refuse_to_overwrite(out)
    run = open_run(path)
    found = next((one for one in run if str(one.serial) == str(event)), None)
    if found is None:
        raise ConfigError(f"{path} has no event '{event}' with banks: see gm2sim raw ls")
    plot = picture(run, found, bank, island)
    write_bytes(out, plot.picture(out.suffix[1:], dpi=130))
    return plot


def picture(run: RawRun, event: Event, bank: str, island: int | None = None) -> Plot:
    """One bank of an event.

    Raises
    ------
    ConfigError
        It is not there, or there is no picture of it.
    """
    if bank not in event.banks:
        raise ConfigError(f"event {event.serial} of {run.path} has no bank '{bank}': {nearest(bank, event.banks)}")
    draw = _DRAWN.get(bank[:2]) if bank[2:].isdecimal() else None
    if draw is None:
        raise ConfigError(f"there is no picture of {bank}: of {', '.join(_DRAWN)} and a crate's number there is")
    if island is not None and bank[:2] != "CT":
        raise ConfigError(f"--island belongs to a bank CT, not to {bank}")
    return draw(run, event, bank, island)


def crystal_panels(time: Floats, waveforms: NDArray[np.int16], title: str, x_label: str, alt: str) -> Plot:
    """Waveforms of the 54 crystals of a calorimeter, each where it is seen from the beam.

    Parameters
    ----------
    time : array (n,)
        In the unit of ``x_label``.
    waveforms : int16 array (54, k, n)
        ADC counts; k waveforms are drawn over one another.
    title, x_label, alt : str
    """
    plot = Plot(10.4, 6.6)
    panels = plot.subplots(ROWS, COLUMNS, sharex=True, sharey=True)
    for crystal, of_crystal in enumerate(waveforms):
        # Crystal 0 is at the bottom right, 8 at the bottom left.
        axes = panels[ROWS - 1 - crystal // COLUMNS][COLUMNS - 1 - crystal % COLUMNS]
        _quiet(axes)
        for one, colour in zip(of_crystal, PALETTE, strict=False):
            _trace(axes, time, one, colour)
        axes.set_title(str(crystal), fontsize=7, color=MUTED, loc="right", pad=1.5)
    plot.suptitle(title, fontsize=10.5, color=INK, x=0.01, ha="left")
    plot.supxlabel(x_label, fontsize=10, color=INK)
    plot.supylabel("sample [ADC counts]", fontsize=10, color=INK)
    names = {f"crystal {crystal} [ADC counts]": of_crystal.ravel() for crystal, of_crystal in enumerate(waveforms)}
    plot.describe(alt, **{x_label: np.tile(time, waveforms.shape[1])} | names)
    return plot


def channel_panels(time: Floats, channels: Mapping[str, NDArray[np.int16]], title: str, x_label: str, alt: str) -> Plot:
    """Waveforms of the channels of a crate, one above the other in columns.

    Parameters
    ----------
    time : array (n,)
        In the unit of ``x_label``.
    channels : mapping of str to int16 array (k, n)
        By name [ADC counts].
    title, x_label, alt : str
    """
    columns = 1 if len(channels) < 4 else 4
    rows = -(-len(channels) // columns)
    plot = Plot(10.4 if columns > 1 else 8.4, max(1.05 * rows + 1.2, 3.4))
    panels = np.ravel(plot.subplots(rows, columns, sharex=True, squeeze=False))
    for axes, (name, waveforms) in zip(panels, channels.items(), strict=False):
        _quiet(axes)
        for one, colour in zip(waveforms, PALETTE, strict=False):
            _trace(axes, time, one, colour)
        axes.set_title(name, fontsize=8, color=MUTED, loc="right", pad=1.5)
    for axes in panels[len(channels) :]:
        axes.set_visible(False)
    plot.suptitle(title, fontsize=10.5, color=INK, x=0.01, ha="left")
    plot.supxlabel(x_label, fontsize=10, color=INK)
    plot.supylabel("sample [ADC counts]", fontsize=10, color=INK)
    plot.describe(
        alt, **{x_label: time} | {f"{name} [ADC counts]": waveforms[0] for name, waveforms in channels.items()}
    )
    return plot


def sum_over_fill(time: Floats, total: Floats, title: str, y_label: str, alt: str) -> Plot:
    """A waveform over a whole fill.

    Parameters
    ----------
    time : array (n,) [us]
    total : array (n,) [ADC counts]
    title, y_label, alt : str
    """
    plot = Plot(8.4, 3.6)
    axes = dress(plot.subplots(), "time in the fill [μs]", y_label, title)
    _trace(axes, time, total, BLUE)
    plot.describe(alt, **{"time [μs]": time, y_label: total})
    return plot


def histogram(time: Floats, counts: NDArray[np.int32], title: str, alt: str) -> Plot:
    """A Q-method histogram: all crystals against time, and their sum.

    Parameters
    ----------
    time : array (bins,) [us]
    counts : int32 array (crystals, bins) [ADC counts]
    title, alt : str
    """
    plot = Plot(8.4, 5.2)
    upper, lower = plot.subplots(2, 1, sharex=True, height_ratios=(1, 1.3))
    total = counts.sum(axis=0, dtype=np.int64).astype(np.float64)
    dress(upper, "", "all crystals [ADC counts]", title)
    _trace(upper, time, total, BLUE)
    dress(lower, "time in the fill [μs]", "crystal")
    lower.grid(visible=False)
    step = time[1] - time[0] if len(time) > 1 else 1.0
    extent = (time[0] - 0.5 * step, time[-1] + 0.5 * step, -0.5, len(counts) - 0.5)
    image = lower.imshow(counts, COLOUR_MAP, aspect="auto", origin="lower", extent=extent, interpolation="nearest")
    bar = plot.colorbar(image, ax=lower, pad=0.01)
    bar.set_label("ADC counts", color=INK, fontsize=9)
    bar.ax.tick_params(labelsize=8, color=MUTED, labelcolor=MUTED)
    plot.describe(alt, **{"time [μs]": time, "all crystals [ADC counts]": total})
    return plot


def _quiet(axes: Axes) -> None:
    """A small panel: no labels of its own, thin lines."""
    dress(axes, "", "")
    axes.tick_params(labelsize=6.5, length=2.0)
    axes.grid(visible=True, color=GRID, linewidth=0.5)
    axes.locator_params(nbins=3)


def _trace(axes: Axes, time: Floats, values: NDArray[Any], colour: str) -> None:
    """A waveform; a long one as the band between lowest and highest of many samples: no pulse falls between."""
    if len(values) <= _MOST_POINTS:
        axes.plot(time, values, color=colour, linewidth=0.9)
        return
    width = -(-len(values) // _MOST_POINTS)
    first = np.arange(0, len(values), width)
    low, high = np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)
    axes.fill_between(time[first], low, high, color=colour, linewidth=0.6)


def _island(run: RawRun, event: Event, bank: str, island: int | None) -> Plot:
    crate = int(bank[2:])
    islands = event.islands(crate)
    if island is None and len(islands):
        island = int(np.argmin([one.samples.min() for one in islands]))
    if island is None or not 0 <= island < len(islands):
        raise ConfigError(f"bank {bank} of event {event.serial} has {len(islands)} islands, no island {island}")
    one = islands[island]
    period = _period(run, crate)
    title = (f"calorimeter {crate}, event {event.serial}, island {island} of {len(islands)}: begins "
             f"{one.time * period * US:.3f} μs into the fill")  # fmt: skip
    lowest = int(np.argmin(one.samples.min(axis=1)))
    time = np.arange(one.length) * period * _NS
    return crystal_panels(
        time, one.samples[:, None, :], title, "time from the island's first sample [ns]",
        f"The {one.length} samples of each crystal in island {island} of calorimeter {crate}, event {event.serial}, as "
        f"seen from the beam. Crystal {lowest} has the deepest pulse, down to {one.samples.min()} ADC counts.",
    )  # fmt: skip


def _waveforms(run: RawRun, event: Event, bank: str, _: int | None) -> Plot:
    crate = int(bank[2:])
    found = event.waveforms(crate)
    length = found.samples[0].shape[1]
    period = _period(run, crate)
    long = length * period > _LONG
    time = np.arange(length) * period * (US if long else _NS)
    x_label = f"time from the first sample [{'μs' if long else 'ns'}]"
    count = found.samples[0].shape[0]
    whose = f"calorimeter {crate}" if crate <= _CALORIMETERS else f"crate {crate}, {_monitor(run, crate)['Detector']}"
    title = f"{whose}, event {event.serial}: {count} waveform{'s' if count > 1 else ''} of {length} samples a channel"
    alt = f"Waveforms of {len(found.channels)} channels of {whose} in event {event.serial}, bank {bank}."
    if crate <= _CALORIMETERS and found.channels == tuple(range(COLUMNS * ROWS)):
        return crystal_panels(time, np.stack(found.samples), title, x_label, alt)
    return channel_panels(time, _named(run, crate, found), title, x_label, alt)


def _named(run: RawRun, crate: int, found: Waveforms) -> dict[str, NDArray[np.int16]]:
    """Waveforms by the names that the run database gives their channels."""
    names = _monitor(run, crate).get("Channels", [])
    return {
        str(names[i]) if len(names) == len(found.channels) else f"channel {channel}": samples
        for i, (channel, samples) in enumerate(zip(found.channels, found.samples, strict=True))
    }


def _sum(run: RawRun, event: Event, bank: str, _: int | None) -> Plot:
    crate = int(bank[2:])
    total = event.calo_sum(crate)
    assert total is not None
    width = _samples_a_word(run, crate)
    time = (np.arange(len(total)) + 0.5) * width * _period(run, crate) * US
    # The sum of negative numbers lies in an unsigned word.
    values = total.view(np.int32).astype(np.float64)
    return sum_over_fill(
        time, values, f"calorimeter {crate}, event {event.serial}: sum over the crystals",
        f"54 crystals, {width} samples [ADC counts]",
        f"Sum over the crystals of calorimeter {crate} and {width} samples a point over event {event.serial}: "
        f"{values.min():.0f} to {values.max():.0f} ADC counts.",
    )  # fmt: skip


def _histogram(run: RawRun, event: Event, bank: str, _: int | None) -> Plot:
    crate = int(bank[2:])
    found = event.q_histogram(crate)
    assert found is not None
    bins = found.counts.shape[1]
    first = found.first_sample - 1
    time = (first + (np.arange(bins) + 0.5) * found.samples_per_bin) * _period(run, crate) * US
    return histogram(
        time, found.counts, f"calorimeter {crate}, event {event.serial}: Q-method histogram, {found.samples_per_bin} "
        "samples a bin", f"Q-method histogram of calorimeter {crate} in event {event.serial}: {len(found.counts)} "
        f"crystals, {bins} bins of {found.samples_per_bin} samples.",
    )  # fmt: skip


def _period(run: RawRun, crate: int) -> float:
    """Of the samples of a crate, from the run database [s]."""
    board = _settings(run, crate).get("Rider01", {}).get("Board", {})
    rate = _monitor(run, crate).get("Sample rate (MHz)") or board.get("Digitization Frequency (MHz)", 800)
    return 1e-6 / float(rate)


def _samples_a_word(run: RawRun, crate: int) -> int:
    return int(_settings(run, crate).get("TQ01", {}).get("Calo sum time decimation") or 32)


def _monitor(run: RawRun, crate: int) -> dict[str, Any]:
    return {"Detector": "detector", **_settings(run, crate).get("Monitor", {})}


def _settings(run: RawRun, crate: int) -> dict[str, Any]:
    found: dict[str, Any] = run.odb.get("Equipment", {}).get(f"AMC13{crate:02d}", {}).get("Settings", {})
    return found


_DRAWN: dict[str, Callable[[RawRun, Event, str, int | None], Plot]] = {
    "CT": _island,
    "CS": _sum,
    "CQ": _histogram,
    **dict.fromkeys(("CR", "LR", "PR"), _waveforms),
}
