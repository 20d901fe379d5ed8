"""Page of the report about data quality: which fills fail which cut, where they have been assessed."""

from collections.abc import Callable

from gm2sim.plots import Plot
from gm2sim.quality.book import FILE, read_rows
from gm2sim.report.load import RunFolder

Page = tuple[str, str, str, Callable[[], Plot | None]]


def quality_pages(run: RunFolder) -> list[Page]:
    """Name, title, caption and maker of the page; none where `gm2sim quality assess` has not been run on the folder."""
    if not (run.folder / FILE).is_file():
        return []
    return [
        ("quality", "Data quality", "Events that fail a cut of `gm2sim quality assess`: each mark is one event.",
         lambda: _flags(run)),
    ]  # fmt: skip


def _flags(run: RunFolder) -> Plot | None:
    from gm2sim.plots.quality import flags_by_event

    rows = read_rows(run.folder / FILE, run.config.run.run)["fill_flags"]
    return flags_by_event(rows) if rows else None
