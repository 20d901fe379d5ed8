"""Shape of the kicker field across the aperture."""

from pathlib import Path

import numpy as np
import pytest

from fields.kicker_map import load_kicker_map
from fields.kicker_plates import kicker_multipoles
from fields.maps import FieldMapError
from fields.ring import R_REFERENCE

SERIES = np.array([1.0, 0.0, 0.40, 0.0, -0.45, 0.0, -0.20])


def _map(series: np.ndarray = SERIES, scale: float = 0.7) -> str:
    at = np.arange(-5.0, 5.01, 0.5)
    lines = ["!NGx Ngy", f"{at.size} {at.size}", "!  x[cm]\ty[cm]  Bx[Arb] By[Arb]"]
    for x in at:
        for y in at:
            b = scale * np.polynomial.polynomial.polyval(0.01 * (x + 1j * y) / R_REFERENCE, series)
            lines.append(f"{x:.6f}\t{y:.6f}\t {b.imag:.9f}\t{b.real:.9f}")
    return "\n".join(lines) + "\n"


def _write(folder: Path, text: str) -> Path:
    path = folder / "kicker.dat"
    path.write_bytes(text.encode())
    return path


def test_map_of_a_series_gives_the_series(tmp_path: Path) -> None:
    got = load_kicker_map(_write(tmp_path, _map()), order=8)
    np.testing.assert_allclose(got, np.append(SERIES, [0.0, 0.0]), atol=1e-6)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (_map().replace("21 21", "21 20"), 0, "441 points where the counts in front say 21 x 20"),
        (_map().replace("21 21\n", ""), 0, "say nothing"),
        (_map().replace("-5.000000\t-4.500000", "-5.000000"), 5, "3 numbers where"),
        (_map().replace("-5.000000\t-4.500000", "-5.000000\tx"), 5, "is not numbers"),
        (_map(scale=0.0), 0, "no field at x = y = 0"),
        (_map(1j * SERIES + 1.0), 0, "away from a field without currents"),
        ("\n".join(_map().split("\n")[:200]), 0, "197 points"),
    ],
)
def test_broken_kicker_map_names_file_line_and_reason(tmp_path: Path, text: str, line: int, what: str) -> None:
    with pytest.raises(FieldMapError, match=what) as caught:
        load_kicker_map(_write(tmp_path, text))
    message = str(caught.value)
    assert "kicker.dat" in message
    assert message.endswith(".")
    assert "\n" not in message
    if line:
        assert caught.value.line == line


def test_impossible_series_is_refused(tmp_path: Path) -> None:
    for order, radius in ((3, 0.04), (0, 0.04), (4, 0.0)):
        with pytest.raises(ValueError, match="give an even order"):
            load_kicker_map(tmp_path / "none.dat", order, radius)


def test_plates_give_the_series_of_the_measured_map(measured) -> None:
    path = measured("KickerE989.dat")
    fitted = load_kicker_map(path, order=12, radius=0.035)
    z = np.array([0.035 * r * np.exp(1j * p) for r in np.linspace(0, 1, 20) for p in np.linspace(0, 2 * np.pi, 40)])
    ours, theirs = (np.polynomial.polynomial.polyval(z / R_REFERENCE, c) for c in (kicker_multipoles(12), fitted))
    assert np.sqrt(np.mean(np.abs(ours - theirs) ** 2)) < 0.03
    on_axes = np.abs(z.real * z.imag) < 1e-8
    assert np.abs(ours - theirs)[on_axes].max() < 0.01
