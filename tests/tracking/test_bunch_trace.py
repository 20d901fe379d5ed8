"""Bunch shapes: the sixteen synthetic ones, and measured traces from files."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from fields.maps import FieldMapError
from tracking.bunch_shape import T0, bunches, distribution, flat_profile, moments
from tracking.bunch_trace import load_bunch

NS = 1e-9
DATA = Path(os.environ.get("GM2SIM_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def _trace(
    rms: float = 35.0, baseline: float = 40.0, end: str = "\n", title: str = "ns trace A [ADC] trace B [ADC]"
) -> str:
    t = np.arange(-500.0, 501.0)
    signal = 2000.0 * np.exp(-0.5 * ((t - 6.0) / rms) ** 2)
    noise = np.sin(1.7 * t)  # a scatter that is the same everywhere
    rows = [
        f"{a:.1f} {b + baseline + n:.6f} {0.5 * b - baseline + n:.6f} "
        for a, b, n in zip(t, signal, noise, strict=True)
    ]
    return end.join([title, *rows]) + end


def _write(folder: Path, text: str) -> Path:
    path = folder / "trace.dat"
    path.write_bytes(text.encode())
    return path


def test_moments_are_those_of_the_density() -> None:
    mean, rms = moments(flat_profile(120e-9))
    assert (mean, rms) == (pytest.approx(0.0, abs=1e-20), pytest.approx(120e-9 / math.sqrt(12.0)))
    # independent: fine sums over the interpolated trace
    t, w = np.array(T0).T
    fine = np.linspace(t[0], t[-1], 400_001)
    density = np.interp(fine, t, w)
    centre = np.average(fine, weights=density)
    spread = math.sqrt(np.average((fine - centre) ** 2, weights=density))
    assert moments(T0) == (pytest.approx(centre, abs=1e-13), pytest.approx(spread, rel=1e-6))


def test_sixteen_bunches_are_centred_tridents_of_28_to_43_ns() -> None:
    shapes = bunches()
    assert len(shapes) == 16
    spread = sorted(moments(shape)[1] / NS for shape in shapes)
    np.testing.assert_allclose(spread, np.arange(28.0, 44.0), rtol=1e-9)
    for shape in shapes:
        weight = np.array(shape)[:, 1]
        assert moments(shape)[0] == pytest.approx(0.0, abs=1e-20)
        assert weight.max() == 1.0
        assert weight[0] == weight[-1] == 0.0
        below = distribution(shape).below
        assert (np.diff(below) >= 0.0).all()
        assert len(shape) == len(shapes[0])  # one table for all in a kernel


def test_every_bunch_has_another_shape_and_always_the_same() -> None:
    assert len(set(bunches())) == 16
    assert bunches() == bunches()
    peaks = [np.flatnonzero(np.diff(np.sign(np.diff(np.array(shape)[:, 1]))) < 0).size for shape in bunches()]
    assert max(peaks) == 3
    assert min(peaks) == 3


@pytest.mark.parametrize("trace", [0, 1])
def test_trace_is_read_without_its_baseline_and_centred(tmp_path: Path, trace: int) -> None:
    shape = load_bunch(_write(tmp_path, _trace()), trace)
    mean, rms = moments(shape)
    assert mean == pytest.approx(0.0, abs=1e-18)
    # averages over 5 ns and straight lines between add (5 ns)^2/12 each; noise of 1 of 1000 counts in the tails:
    # 400 ns * 1e-3/2.5 * (115 ns)^2 over the area of 88 ns * 2 rms
    assert rms / NS == pytest.approx(math.sqrt(35.0**2 + 2 * 25.0 / 12.0), rel=0.01)
    weight = np.array(shape)[:, 1]
    assert weight.max() == 1.0
    assert weight.min() >= 0.0


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace(" \n", "\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("ns trace A [ADC] trace B [ADC]", 'ns "trace A [ADC]" "trace B [ADC]"'),
        lambda text: "# from a scope\n" + text,
        lambda text: "\n".join(reversed(text.strip().split("\n")[1:])),
    ],
    ids=["tabs", "no final blank", "CRLF", "no final newline", "quotes", "comment", "decreasing"],
)
def test_traps_of_real_traces_change_nothing(tmp_path: Path, change) -> None:
    plain = load_bunch(_write(tmp_path, _trace()))
    assert load_bunch(_write(tmp_path, change(_trace()))) == plain


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("\n".join(_trace().split("\n")[:500]), 0, "covers -500 to -2 ns"),
        (_trace().replace("\n0.0 ", "\n0.0 x"), 502, "is not numbers"),
        (_trace().replace("\n0.0 ", "\n0.0 1.0 "), 502, "4 numbers where"),
        (_trace().replace("\n-500.0 ", "\nnan "), 2, "not finite"),
        ("\n".join(row for k, row in enumerate(_trace().split("\n")) if not 490 < k < 510), 0, "gap of 20.0 ns"),
        (_trace(-2000.0), 0, "has no bunch"),
        ("\n".join(f"{1e-3 * t:.4f} {t % 7} 0" for t in range(-500, 500)), 0, "covers -0 to 0 ns"),
    ],
    ids=["half", "words", "columns", "nan", "gap", "negative", "microseconds"],
)
def test_broken_trace_names_file_line_and_reason(tmp_path: Path, text: str, line: int, what: str) -> None:
    with pytest.raises(FieldMapError, match=what) as caught:
        load_bunch(_write(tmp_path, text))
    message = str(caught.value)
    assert "trace.dat" in message
    assert message.endswith(".")
    assert "\n" not in message
    if line:
        assert caught.value.line == line


def test_missing_trace_and_impossible_choice_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FieldMapError, match=r"none\.dat: cannot be read"):
        load_bunch(tmp_path / "none.dat")
    with pytest.raises(ValueError, match="give 0 or 1"):
        load_bunch(tmp_path / "none.dat", 2)
    with pytest.raises(ValueError, match="step below a quarter"):
        load_bunch(tmp_path / "none.dat", step=100e-9)


@pytest.mark.parametrize("bunch", [*range(16), None])
def test_measured_bunches_are_tridents_of_30_to_50_ns(bunch: int | None) -> None:
    name = "pulseshape_avg_run2_ns.dat" if bunch is None else f"pulseshape_run2/pulseshape_{bunch}.dat"
    if not (DATA / name).is_file():
        pytest.skip(f"measured trace {name} is not in {DATA}: set GM2SIM_DATA to its folder")
    rms = moments(load_bunch(DATA / name))[1]
    core = moments(load_bunch(DATA / name, window=100e-9))[1]
    # the tails of the counter's pulses reach 200 ns and widen 28 to 43 ns
    assert 30e-9 < core < rms < 50e-9
