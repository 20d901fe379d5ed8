"""Plots of fields carry units, labels and error bars."""

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from fields.plots import plot_field_map, plot_trolley_fit
from fields.storage import StorageField
from fields.synthetic import synthesise
from fields.trolley import fit_multipoles, simulate_run

mpl.use("agg")


def _axes_without_unit(figure: Figure) -> list[str]:
    unitless = ("probe", "order n", "azimuths", "chi2")
    labels = [label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel()) if label]
    return [label for label in labels if "[" not in label and not label.startswith(unitless)]


def test_trolley_plot_shows_every_term_with_its_error(tmp_path) -> None:
    figure = plot_trolley_fit(fit_multipoles(simulate_run(synthesise("e989"), azimuths=200)))
    figure.savefig(tmp_path / "fit.png")
    assert (tmp_path / "fit.png").stat().st_size > 10_000
    labels = [text.get_text() for axes in figure.axes[:6] for text in axes.get_legend().get_texts()]
    assert len(labels) == 11
    assert all("±" in label and "ppm" in label for label in labels)
    assert _axes_without_unit(figure) == []


@pytest.mark.parametrize("field", [StorageField.uniform(), synthesise("e989")], ids=["uniform", "synthetic"])
def test_map_plot_names_its_source(field: StorageField, tmp_path) -> None:
    figure = plot_field_map(field)
    figure.savefig(tmp_path / "map.png")
    title = figure.axes[0].get_title()
    assert "synthetic e989" in title or "uniform" in title
    assert _axes_without_unit(figure) == []
