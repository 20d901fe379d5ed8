"""Studies in the terminal, and their pictures in files."""

import math
from collections.abc import Sequence
from pathlib import Path

from gm2sim.atomic import write_bytes
from gm2sim.config import ConfigError
from gm2sim.report.published import DATA_SETS
from gm2sim.studies.outcome import Number, Outcome, decimals
from gm2sim.studies.registry import studies
from gm2sim.studies.reproduce import Correction

_PICTURES = (".png", ".svg", ".pdf")
_DATA_FILES = (".h5", ".hdf5")


def list_rows() -> list[dict[str, str]]:
    """Name, what it is and published values of every study."""
    rows = []
    for one in studies().values():
        values = {name: theirs for name in DATA_SETS if (theirs := one.published(name)) is not None}
        numbers = ", ".join(f"{theirs.value:g}" for theirs in values.values())
        source = next(iter(values.values())).source if values else ""
        rows.append({"name": one.name, "what it is": one.summary, "published, Run-1a to 1d": numbers, "source": source})
    return rows


def say_outcome(found: Outcome) -> None:
    """Result, table, source of the published value, cost."""
    from gm2sim.terminal import print_table, say

    say(str(found.result))
    rows = [_row(number) for number in found.table]
    columns = ("quantity", "ours", "formula", "published", "pull", "unit", "how")
    print_table(f"{found.study}: {found.summary}", columns, rows)
    theirs = found.result.published
    if theirs is not None:
        say(f"published: {theirs.source}{f'; {theirs.remark}' if theirs.remark else ''}")
    if found.remark:
        say(found.remark)
    turns = f"{found.muon_turns / 1e6:.2f} million muon-turns"
    say(f"{found.seconds:.1f} s, {found.muons} muons, {turns}, seed {found.seed}")


def say_corrections(found: Sequence[Correction]) -> None:
    """The correction table: a row for each correction and data set."""
    from gm2sim.terminal import print_table

    rows = [[one.correction, one.data_set, *_row(one.number)[1:5], one.number.remark] for one in found]
    print_table(
        "Corrections to omega_a [ppb]", ("correction", "data set", "ours", "formula", "published", "pull", "how"), rows
    )


def check_picture(path: Path | None) -> None:
    """Refuse a file whose ending names no kind of picture, before the work begins.

    Raises
    ------
    ConfigError
        With the endings that are known.
    """
    if path is not None and path.suffix not in _PICTURES:
        raise ConfigError(f"--plot {path} does not end in {', '.join(_PICTURES)}: give the file such an ending")


def check_save(name: str, path: Path | None) -> None:
    """Refuse --save for a study that makes no map, or to a file of another kind, before the work begins.

    Raises
    ------
    ConfigError
        With the studies that make one.
    """
    if path is None:
        return
    makers = [one.name for one in studies().values() if one.saves]
    if name not in makers:
        raise ConfigError(
            f"the study {name} makes nothing for --save {path}: leave it out, or make {', '.join(makers)}"
        )
    if path.suffix not in _DATA_FILES:
        raise ConfigError(f"--save {path} does not end in {', '.join(_DATA_FILES)}: give the file such an ending")


def save_data(found: Outcome, path: Path) -> None:
    """Write what the study made besides numbers and curves."""
    if found.data is not None:
        found.data.save(path)


def save_plot(found: Outcome, path: Path) -> None:
    """Write the picture of a study."""
    write_bytes(path, found.plot().picture(path.suffix.removeprefix("."), dpi=150), replace=True)


def _row(number: Number) -> list[str]:
    digits = decimals(number.value, number.error)
    ours = f"{number.value:.{digits}f}" + (f" ± {number.error:.{digits}f}" if math.isfinite(number.error) else "")
    theirs = number.published
    published = "" if theirs is None else f"{theirs.value:g}"
    if theirs is not None and math.isfinite(theirs.error):
        published += f" ± {theirs.error:g}"
    formula = "" if number.formula is None else f"{number.formula:.{digits}f}"
    pull = f"{number.pull:+.1f}" if math.isfinite(number.pull) else ""
    return [number.quantity, ours, formula, published, pull, number.unit, number.remark]
