"""Loaders of measured maps: the traps of real files, and errors that say what to do."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fields.maps import FieldMapError, load_multipole_map, load_rz_map

B0 = 1.45


def _multipole_text(count: int = 24, end: str = "\n") -> str:
    lines = ["# a map", "!another comment", "% and a third"]
    for i in range(count):
        lines.append(f"{i + 1} {360.0 * i / count:.3f}")
        lines.append(f"{B0} {1e-6 * i} 2e-6 {-1e-6 * i} 3e-6")
    return end.join(lines) + end


def _rz_text() -> str:
    lines = ["# R Z BR BZ"]
    for z in range(4):
        for r in range(700, 706):
            by = 0.0 if r == 700 else 14500.0 - z
            lines.append(f" {r:.5E} {z:.5E} {0.1 * z * (by > 0):.5E} {by:.5E}")
    return "\n".join(lines) + "\n"


def _write(folder: Path, text: str) -> Path:
    path = folder / "map.dat"
    path.write_bytes(text.encode())
    return path


def test_multipole_map_is_read_as_documented(tmp_path: Path) -> None:
    field = load_multipole_map(_write(tmp_path, _multipole_text()))
    assert field.c.shape == (24, 3)
    i = np.arange(24)
    np.testing.assert_allclose(field.c[:, 0], B0, rtol=1e-15)
    # By/By0 = 1 + a cos + b sin: c = By0 (a - i b)
    np.testing.assert_allclose(field.c[:, 1], B0 * (1e-6 * i + 1e-6j * i), atol=1e-20)
    np.testing.assert_allclose(field.c[:, 2], B0 * (2e-6 - 3e-6j), atol=1e-20)


def test_multipoles_in_tesla_are_not_multiplied_by_the_dipole(tmp_path: Path) -> None:
    field = load_multipole_map(_write(tmp_path, _multipole_text()), multipoles_in_tesla=True)
    np.testing.assert_allclose(field.c[:, 2], 2e-6 - 3e-6j, atol=1e-20)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace(" ", " \t  "),
        lambda text: text.replace(" ", " "),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n  \n",
        lambda text: text.replace("5 60.000", "4 60.000"),
        lambda text: text.replace("\n7 ", "\n# comment between\n7 "),
    ],
    ids=["tabs", "runs of blanks", "no-break spaces", "CRLF", "no final newline", "blank end", "index", "comment"],
)
def test_traps_of_real_files_change_nothing(tmp_path: Path, change) -> None:
    plain = load_multipole_map(_write(tmp_path, _multipole_text())).c
    np.testing.assert_array_equal(load_multipole_map(_write(tmp_path, change(_multipole_text()))).c, plain)


def test_order_of_the_azimuths_does_not_matter(tmp_path: Path) -> None:
    text = _multipole_text()
    head, body = text.split("\n")[:3], text.rstrip("\n").split("\n")[3:]
    pairs = [body[i : i + 2] for i in range(0, len(body), 2)]
    decreasing = "\n".join(head + [line for pair in reversed(pairs) for line in pair])
    plain = load_multipole_map(_write(tmp_path, text)).c
    np.testing.assert_array_equal(load_multipole_map(_write(tmp_path, decreasing)).c, plain)


def test_repeated_azimuth_is_averaged(tmp_path: Path) -> None:
    text = _multipole_text() + "1 0.000\n1.46 0 4e-6 0 3e-6\n"
    field = load_multipole_map(_write(tmp_path, text))
    assert field.c.shape == (24, 3)
    assert field.c[0, 0].real == pytest.approx(0.5 * (1.45 + 1.46))


def test_average_file_is_one_sample(tmp_path: Path) -> None:
    field = load_multipole_map(_write(tmp_path, "1.4513 1e-6 2e-6 3e-6 4e-6"))
    np.testing.assert_allclose(field.c, 1.4513 * np.array([[1.0, 1e-6 - 3e-6j, 2e-6 - 4e-6j]]), rtol=1e-14)


@given(cut=st.integers(0, 2000))
@settings(deadline=None, max_examples=60)
def test_truncated_multipole_map_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    text = _multipole_text(48)
    kept = text[: max(0, len(text) * cut // 2000 - 200)]  # at least four azimuths of 48 are missing
    path = _write(tmp_path_factory.mktemp("cut"), kept)
    with pytest.raises(FieldMapError, match=r"map\.dat"):
        load_multipole_map(path)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("# only a comment\n", 0, "holds no multipoles"),
        ("1 0.0\n1.45 1e-6 2e-6\n2 8.0\n", 3, "ends after a position"),
        ("1 0.0\n1.45 1e-6 2e-6\n2 8.0\n1.45 1e-6 2e-6 3e-6 4e-6\n", 4, "5 numbers where the first azimuth has 3"),
        ("1 0.0\n1.45 1e-6 abc\n", 2, "is not numbers"),
        ("1 0.0\n1.45 nan 1e-6\n", 2, "not finite"),
        ("1 0.0\n2 1.0\n", 2, "2 numbers, where"),
        ("1.45 1e-6 2e-6\n1.45 1e-6 2e-6\n", 2, "3 numbers, where"),
        ("1 0.0\n1.45 1e-6 2e-6\n2 8.0\n1.45 1e-6 2e-6\n", 0, "holds 2 different azimuths"),
    ],
)
def test_broken_multipole_map_names_file_line_and_reason(tmp_path: Path, text: str, line: int, what: str) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(FieldMapError) as caught:
        load_multipole_map(path)
    message = str(caught.value)
    assert str(path) in message
    assert what in message
    assert message.count(";") == 1  # what; how to mend
    assert message.endswith(".")
    assert "\n" not in message
    if line:
        assert f"line {line}:" in message
        assert caught.value.line == line


@pytest.mark.parametrize("load", [load_multipole_map, load_rz_map])
def test_missing_file_is_one_sentence(tmp_path: Path, load) -> None:
    with pytest.raises(FieldMapError, match=r"nothing\.dat: cannot be read \(No such file.*; give the path"):
        load(tmp_path / "nothing.dat")


def test_rz_map_is_read_in_si_units_with_empty_points(tmp_path: Path) -> None:
    rz = load_rz_map(_write(tmp_path, _rz_text()))
    np.testing.assert_allclose(rz.r, np.arange(7.00, 7.055, 0.01), rtol=1e-12)
    np.testing.assert_allclose(rz.y, [0.0, 0.01, 0.02, 0.03], rtol=1e-12)
    assert np.isnan(rz.by[0]).all()
    assert rz.by[1, 2] == pytest.approx(1.4498)
    br, by = rz.filled()
    np.testing.assert_array_equal(by[0], by[1])
    assert np.isfinite(br).all()


def test_rz_map_may_come_in_any_order(tmp_path: Path) -> None:
    lines = _rz_text().split("\n")
    plain = load_rz_map(_write(tmp_path, "\n".join(lines)))
    shuffled = load_rz_map(_write(tmp_path, "\n".join(reversed(lines))))
    np.testing.assert_array_equal(shuffled.by, plain.by)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda text: text[: len(text) // 2], "due|do not fill|not numbers"),
        (lambda text: "\n".join(text.split("\n")[:-4]) + "\n", "do not fill a grid"),
        (lambda text: "# nothing\n", "holds no field"),
        (lambda text: text.replace("14499", "x"), "is not numbers"),
    ],
    ids=["half", "lines lost", "empty", "garbage"],
)
def test_broken_rz_map_is_refused(tmp_path: Path, change, what: str) -> None:
    text = _rz_text().replace("1.44990E+04", "14499")
    with pytest.raises(FieldMapError, match=what):
        load_rz_map(_write(tmp_path, change(text)))


def test_measured_multipole_map_has_the_published_spread(measured) -> None:
    field = load_multipole_map(measured("g2StorageMultipoleField.dat"), multipoles_in_tesla=True, harmonics=None)
    ppm = 1e6 * field.c / field.b0
    assert ppm[:, 0].real.std() == pytest.approx(37.0, abs=0.5)
    # published to 0.1 ppm; here repeated azimuths are merged, which moves a spread by 0.5 %
    np.testing.assert_allclose(ppm[:, 1:].real.std(axis=0), [12.1, 6.4, 4.3, 3.1], atol=0.1)
    np.testing.assert_allclose(ppm[:, 1:].imag.std(axis=0), [13.7, 4.8, 2.3, 2.1], atol=0.15)


def test_measured_average_is_that_of_the_map(measured) -> None:
    average = load_multipole_map(measured("g2StorageAverageMultipoleField.dat"))
    around = load_multipole_map(measured("g2StorageMultipoleField.dat")).mean_field()
    # the two files were averaged differently (repeated azimuths); 0.1 ppm
    np.testing.assert_allclose(around[1:] / around[0], average.c[0, 1:] / average.c[0, 0], atol=1e-7)


def test_measured_rz_map_is_complete(measured) -> None:
    rz = load_rz_map(measured("g2StorageFringeFieldMap.dat"))
    assert rz.by.shape == (151, 11)
    assert np.isnan(rz.by).sum() == 77
    br, by = rz.filled()
    assert np.isfinite(by).all()
    assert by[111, 0] == pytest.approx(1.4511, abs=1e-4)
    np.testing.assert_allclose(br[:, 0], 0.0, atol=1e-12)
