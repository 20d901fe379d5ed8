"""What a person sees in the terminal: tables, the progress of a run and its last words."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from gm2sim.text import one_line, visible

_WIDTH_OF_FILES = 140  # characters, where the output is no terminal that has a width of its own


def say(text: object) -> None:
    """One line of plain text, never wrapped or coloured."""
    Console(soft_wrap=True, highlight=False).print(visible(text), markup=False, emoji=False)


def complain(text: object) -> None:
    """One sentence to standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(one_line(text), markup=False, emoji=False)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A titled table."""
    table = Table(title=_plain(title), title_justify="left", header_style="bold", row_styles=("", "dim"))
    for number, column in enumerate(columns):
        table.add_column(_plain(column), no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH_OF_FILES
    console.print(table)


def draw(picture: RenderableType) -> None:
    """Something of rich, as it stands."""
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH_OF_FILES
    console.print(picture)


def print_records(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of records, the columns named by the first record's keys."""
    if rows:
        columns = list(rows[0])
        print_table(title, columns, [[_cell(row.get(column, "")) for column in columns] for row in rows])


class RunDisplay:
    """Progress bar of a run: fills done, muon-turns a second, time left.

    Parameters
    ----------
    quiet : bool
        Draw nothing (for --json, and on every rank but the first).
    """

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("fills {task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=quiet,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        """A line above the bar, for example that code is being compiled."""
        if not self._quiet:
            self._console.print(visible(text), markup=False, emoji=False)

    def begin(self, fills: int, description: str, shown: bool) -> None:
        """Start the bar.

        Parameters
        ----------
        fills : int
            Fills that all ranks together will make.
        description : str
            What is shown beside the bar.
        shown : bool
            False on every rank but the first.
        """
        self._quiet = self._quiet or not shown
        if not self._quiet:
            self._progress.start()
            self._task = self._progress.add_task(escape(one_line(description)), total=fills, rate="")

    def advance(self, done: int, muon_turns_per_second: float | None) -> None:
        """So many fills are done by all ranks; the speed is that of the first rank's last fill."""
        if not self._quiet:
            self._progress.update(self._task, completed=done)
            if muon_turns_per_second is not None:
                self._progress.update(self._task, rate=f"{muon_turns_per_second / 1e6:.1f} M muon-turns/s")

    def finish(self, summary: Mapping[str, Any], out: Path) -> None:
        """Say what was made and where to look."""
        counts = summary["counts"]
        injected = f" of {counts['injected']} injected" if counts["injected"] else ""
        rows = [
            (
                "raw files",
                f"{summary['raw_files']} ({summary['raw_bytes'] / 1e6:.1f} MB), with truth beside them",
            ),
            ("fills", f"{counts['fills']} with {counts['muons']} stored muons{injected}"),
            ("decays", f"{counts['decayed']} decayed, {counts['lost']} lost"),
            ("positrons", f"{counts['hits']} at the calorimeters, {counts['islands']} islands"),
            ("time", f"{summary['wall_s']:.1f} s ({summary['compile_s']:.1f} s of it compiling)"),
            ("memory", f"{summary['peak_memory_mb']:.0f} MB in the largest rank"),
        ]
        if summary.get("report"):
            rows.append(("look at", str(out / summary["report"])))
        rows.append(("folder", str(out)))
        table = Table.grid(padding=(0, 2))
        for name, value in rows:
            table.add_row(Text(name, style="bold"), _plain(value))
        Console().print(table)


@contextmanager
def turn_bar(turns: int, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar over turns; yields what the tracker calls with (turns done, turns)."""
    columns = (
        TextColumn("tracking"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("turns"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    drawn = shown and console.is_terminal and not console.is_jupyter
    with Progress(*columns, console=console, disable=not drawn, transient=True) as progress:
        task = progress.add_task("tracking", total=turns)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _plain(text: str) -> Text:
    """Text that is shown as it stands: no markup, no picture for :names:."""
    return Text(visible(text))


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
