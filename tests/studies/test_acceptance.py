"""Acceptance against closed forms where every positron is seen, the published polynomial, and files and commands."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from decay.michel import lab_energy_end, lab_spectrum
from gm2sim.cli import app
from gm2sim.config import Config
from gm2sim.studies.acceptance import toy_acceptance, toy_phase
from gm2sim.studies.acceptance_map import (
    COLUMNS,
    Acceptance,
    _above,
    _Flown,
    _shares,
    load_acceptance,
    mirrored,
    sum_up,
    wiggle,
)
from gm2sim.studies.case import Case
from gm2sim.studies.phase_map import isotropic_decays
from gm2sim.studies.precession import jackknife_sums

EDGES = np.arange(0.05, 3.1, 0.1)
THRESHOLD = 1.7


def test_all_decays_have_the_spectrum_and_asymmetry_of_the_closed_form_and_the_phase_of_their_flight(
    ideal: Config,
) -> None:
    case = Case(ideal, 16)
    born, vector = mirrored(*isotropic_decays(case, 100_000, 0.0))
    flight = 30e-9 * born.energy  # slower the higher, as in the ring
    flown = _Flown(np.arange(born.n), born.energy, flight)
    sums = sum_up(born, vector, flown, EDGES, THRESHOLD, case.omega_a)
    (number, asymmetry, phase), (_, asymmetry_error, _) = jackknife_sums(wiggle, sums.seen)
    fine = np.linspace(EDGES[:-1], EDGES[1:], 101)
    n, polarised = (np.trapezoid(one, fine, axis=0) for one in lab_spectrum(fine, case.reference.gamma0))
    # Half as many independent decays as there are: mirror images have the same energy.
    np.testing.assert_allclose(number / born.n, n, atol=5.0 * np.sqrt(n / 100_000).max())
    pulls = (asymmetry - polarised / n) / asymmetry_error
    assert np.abs(pulls).max() < 5.0
    assert pulls.std() == pytest.approx(1.0, abs=5.0 / np.sqrt(2.0 * pulls.size))
    # With both of each pair seen the sides cancel to rounding, and the flight is left.
    middle = 0.5 * (EDGES[1:] + EDGES[:-1])
    clear = np.abs(asymmetry) > 0.05
    np.testing.assert_allclose(phase[clear], case.omega_a * 30e-9 * middle[clear], atol=case.omega_a * 30e-9 * 0.01)
    reached, above, turn = _shares(sums.born.sum(axis=0))
    assert (reached == 1.0).all()
    assert (above == (EDGES[:-1] > THRESHOLD - 0.06)).sum() >= above.size - 1  # but the bin of the threshold
    np.testing.assert_allclose(turn, case.omega_a * 30e-9 * middle, rtol=0.02)
    share, total, _, _ = _above(sums.above.sum(axis=0))
    energies = np.linspace(THRESHOLD, lab_energy_end(case.reference.gamma0), 4001)
    all_n, all_polarised = (np.trapezoid(one, energies) for one in lab_spectrum(energies, case.reference.gamma0))
    assert share == pytest.approx(all_n, abs=5.0 * np.sqrt(all_n / 100_000))
    assert total == pytest.approx(all_polarised / all_n, abs=0.01)


def test_positrons_seen_on_one_side_only_move_the_phase(ideal: Config) -> None:
    case = Case(ideal, 16)
    born, vector = mirrored(*isotropic_decays(case, 100_000, THRESHOLD))
    which = np.flatnonzero(born.px > 0.0)
    flown = _Flown(which, born.energy[which], np.zeros(which.size))
    _, _, phase, turn = _above(sum_up(born, vector, flown, EDGES, THRESHOLD, case.omega_a).above.sum(axis=0))
    assert turn == 0.0
    # V = a (n_s + i n_x), a above 0 at high energy: the phase is minus the angle to the outside.
    mean = vector[which].mean()
    assert phase == pytest.approx(-np.angle(mean), abs=1e-12)
    assert phase < -0.1


def test_published_polynomial_and_toy() -> None:
    # As computed from it in the analysis: 5.3, 8.5, 10.5, 21.6, 36 mrad.
    found = toy_phase([1.0, 1.7, 2.0, 2.8, 3.0], 3.095) * 1e3
    np.testing.assert_allclose(found, [5.3, 8.5, 10.5, 21.6, 36.0], atol=0.15)
    np.testing.assert_allclose(toy_acceptance([1.175, 2.35, 3.0]), [0.375, 0.75, 0.75])


def made_up() -> Acceptance:
    """A map of 3 bins and 2 places."""
    shapes = {"edges": (4,), "total": (4,), "x": (2,), "y": (2,), "place_reached": (2, 3)}
    columns = {}
    for k, name in enumerate(COLUMNS):
        one = name.removesuffix("_error")
        columns[name] = np.full(shapes.get(one, (2,) if one.startswith("place_") else (3,)), 0.1 * k)
    return Acceptance(1.7, 1000, 100, **columns)


def test_file_gives_back_every_number_with_unit_and_meaning(tmp_path: Path) -> None:
    made, path = made_up(), tmp_path / "map.h5"
    made.save(path)
    again = load_acceptance(path)
    assert (again.threshold, again.decays, again.place_decays) == (1.7, 1000, 100)
    with h5py.File(path) as file:
        for name, (unit, meaning) in COLUMNS.items():
            np.testing.assert_array_equal(getattr(again, name), getattr(made, name))
            assert (file[name].attrs["unit"], file[name].attrs["meaning"]) == (unit, meaning)
    assert [one.name for one in tmp_path.iterdir()] == ["map.h5"]


def test_other_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    for wrong in (path, tmp_path / "none.h5"):
        with pytest.raises(ValueError, match=r"is no acceptance map .* make one with gm2sim study acceptance"):
            load_acceptance(wrong)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["pitch", "gasgun", "--save", "map.h5"], "the study pitch makes nothing for --save map.h5"),
        (["acceptance", "gasgun", "--save", "map.txt"], "does not end in .h5, .hdf5"),
    ],
)
def test_save_that_cannot_be_is_refused_before_the_work(line: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["study", *line])
    assert done.exit_code != 0
    assert message in done.output + str(done.exception)


def test_command_makes_map_and_picture_of_flown_positrons(tmp_path: Path) -> None:
    path, picture = tmp_path / "map.h5", tmp_path / "map.png"
    line = ["study", "acceptance", "gasgun", "--muons", "20000", "--save", str(path), "--plot", str(picture), "--json"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    record, found = json.loads(done.stdout), load_acceptance(path)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert record["result"]["value"] == pytest.approx(0.95 * found.total[1], rel=1e-12)
    # 0.35 to 0.38 with 20000 decays: 0.005 of error.
    assert 0.345 < record["result"]["value"] < 0.385
    assert found.x.size == found.place_above.size == 35
    shares = found.reached[(found.edges[:-1] > 0.4) & (found.edges[1:] < 2.8)]
    assert ((shares > 0.1) & (shares < 1.0)).all()
    # The toy's line, 0.75 at 2.35 GeV, is what simulations of the experiment gave: ours within a tenth, in fours.
    fours, toy = (values[10:26].reshape(4, 4).mean(axis=1) for values in (found.reached, toy_acceptance(found.middle)))
    np.testing.assert_allclose(fours, toy, atol=0.1)
    clear = (found.middle > 1.0) & (found.middle < 2.85)
    # 120 to 350 positrons a bin, times of flight that spread by a third: 3 %.
    np.testing.assert_allclose(found.flight[clear], toy_phase(found.middle[clear], 3.095), rtol=0.15)
