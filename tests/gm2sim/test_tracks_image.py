"""Drift tables, cuts, acceptance and image of the beam."""

import dataclasses
import math

import numpy as np
import pytest

from detectors.straw_drift import StrawSettings, drift_distance
from gm2sim.plots.tracks import tracker_image
from gm2sim.tracks import (
    Cuts,
    Tracks,
    TrackSettings,
    acceptance,
    beam_image,
    calibrate_drift,
    good_tracks,
    good_vertices,
    linear_drift,
    tabulate_drift,
)  # fmt: skip
from gm2sim.tracks.drift import drift_at
from gpu.rng import FillKey

EDGES = np.array([0.0, 50e-6, 200e-6])


def decays(n: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A round beam in the aperture, off centre."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0.006, 0.017, n), rng.normal(0.0, 0.012, n)
    inside = np.hypot(x, y) < 0.042
    return x[inside], y[inside], rng.uniform(0.0, 200e-6, int(inside.sum()))


def seen(x: np.ndarray, y: np.ndarray, seed: int = 5) -> np.ndarray:
    """Which decays a detector sees that prefers the inner side and the middle plane."""
    true = 0.2 * (1.0 - 8.0 * x - 200.0 * y**2)
    return np.random.default_rng(seed).uniform(size=x.size) < true


def test_linear_relation_is_that_of_the_straws():
    settings = StrawSettings()
    table = linear_drift(settings)
    times = np.linspace(0.0, 46e-9, 50)
    found = [drift_at(t, table) for t in times]
    np.testing.assert_allclose([r for r, _, _ in found], drift_distance(times, settings), rtol=1e-12, atol=1e-18)
    np.testing.assert_allclose([v for _, v, _ in found], settings.drift_velocity)
    assert {s for _, _, s in found} == {110e-6}
    assert drift_at(-1e-9, table)[0] == pytest.approx(-settings.drift_velocity * 1e-9)


def test_table_gives_back_a_known_relation_and_its_spread():
    rng = np.random.default_rng(2)
    time = rng.uniform(0.0, 40e-9, 200_000)
    distance = 5e4 * time + 1e-4 + rng.normal(0.0, 90e-6, time.size)
    table = tabulate_drift(time, distance)
    for t in np.linspace(2e-9, 38e-9, 19):
        r, v, sigma = drift_at(t, table)
        # 5000 tracks a bin of 1 ns; the bin itself spreads by 50 um / sqrt 12.
        assert r == pytest.approx(5e4 * t + 1e-4, abs=5.0 * 90e-6 / math.sqrt(5000))
        assert v == pytest.approx(5e4, rel=0.1)
        assert sigma == pytest.approx(math.hypot(90e-6, 50e-6 / math.sqrt(12.0)), rel=5.0 / math.sqrt(2 * 5000))


def test_calibration_takes_the_bias_near_the_wire_away():
    settings = StrawSettings()
    table = calibrate_drift(settings, n=100_000)
    check = calibrate_drift(settings, FillKey(2, 2, 0, 0), n=100_000)
    assert np.array_equal(calibrate_drift(settings, n=100_000).distance, table.distance)
    times = np.arange(2, 45) * 1e-9
    means = np.array([[drift_at(t, one)[0] for t in times] for one in (table, check)])
    # Each knot is the mean of about 2000 tracks with a spread of 150 um at most.
    np.testing.assert_allclose(means[0], means[1], atol=5.0 * 150e-6 * math.sqrt(2.0 / 1900))
    # What constant velocity gets wrong within 0.5 mm of the wire.
    constant = drift_distance(times, settings)
    assert (constant - means[0])[times < 9e-9].mean() > 50e-6
    assert abs((constant - means[0])[times > 37e-9]).mean() < 40e-6


def test_table_of_too_few_tracks_is_refused():
    with pytest.raises(ValueError, match="too few"):
        tabulate_drift(np.zeros(10), np.zeros(10))
    with pytest.raises(ValueError, match="too few"):
        tabulate_drift(np.zeros(0), np.zeros(0))


def test_acceptance_is_the_one_that_was_put_in():
    x, y, _ = decays(400_000)
    found = seen(x, y)
    accepted = acceptance(x, y, x[found], y[found])
    places = np.array([-0.02, -0.01, 0.0, 0.01, 0.02]), np.array([0.0, 0.01, -0.01, 0.0, 0.005])
    true = 0.2 * (1.0 - 8.0 * places[0] - 200.0 * places[1] ** 2) / found.mean()
    # Ten coefficients from 76 000 tracks.
    np.testing.assert_allclose(accepted.at(*places), true, rtol=5.0 * math.sqrt(10 / 76_000))
    far = accepted.at(np.array([0.2]), np.array([0.0]))
    np.testing.assert_array_equal(far, accepted.at(np.array([0.045]), np.array([0.0])))


def test_corrected_image_is_that_of_the_decays():
    x, y, _ = decays(200_000)
    found = seen(x, y)
    accepted = acceptance(x, y, x[found], y[found])
    other_x, other_y, other_time = decays(200_000, seed=9)
    again = seen(other_x, other_y, seed=10)
    image = beam_image(other_x[again], other_y[again], other_time[again], EDGES, accepted)
    plain = beam_image(other_x[again], other_y[again], other_time[again], EDGES)
    truth = beam_image(other_x, other_y, other_time, EDGES)
    for name in ("mean_x", "width_x", "mean_y", "width_y"):
        off = getattr(image, name) - getattr(truth, name)
        error = getattr(image, f"{name}_error")
        # The acceptance itself is known to about the same error.
        assert (np.abs(off) < 4.0 * math.sqrt(2.0) * error).all()
    assert (np.abs(plain.mean_x - truth.mean_x) > 5.0 * plain.mean_x_error).all()
    assert image.tracks.sum() == again.sum()


def test_errors_of_an_image_are_those_of_repeated_images():
    results = []
    for k in range(200):
        rng = np.random.default_rng(k)
        x, y = rng.normal(0.003, 0.015, 400), rng.uniform(-0.02, 0.02, 400)
        results.append(beam_image(x, y, np.full(400, 1e-6), np.array([0.0, 2e-6])))
    for name in ("mean_x", "width_x", "mean_y", "width_y"):
        values = np.array([getattr(one, name)[0] for one in results])
        errors = np.array([getattr(one, f"{name}_error")[0] for one in results])
        assert values.std() == pytest.approx(errors.mean(), rel=5.0 / math.sqrt(2 * 200))


def test_resolution_is_taken_off_in_squares():
    rng = np.random.default_rng(1)
    x, y = rng.normal(0.0, 0.010, 100_000), rng.normal(0.0, 0.010, 100_000)
    blurred = x + rng.normal(0.0, 0.004, x.size), y + rng.normal(0.0, 0.003, x.size)
    image = beam_image(*blurred, np.zeros(x.size), np.array([0.0, 1.0]), resolution=(0.004, 0.003))
    assert image.width_x[0] == pytest.approx(0.010, rel=0.01)
    assert image.width_y[0] == pytest.approx(0.010, rel=0.01)


def test_image_of_nothing_is_empty():
    image = beam_image(np.zeros(0), np.zeros(0), np.zeros(0), EDGES)
    assert image.tracks.sum() == 0
    assert np.isnan(image.mean_x).all()
    assert image.counts.shape == (2, 40, 40)
    with pytest.raises(ValueError, match="do not rise"):
        beam_image(np.zeros(1), np.zeros(1), np.zeros(1), np.array([1.0, 0.0]))
    with pytest.raises(ValueError, match="squares"):
        acceptance(np.zeros(5), np.zeros(5), np.zeros(5), np.zeros(5))


def test_picture_carries_its_numbers():
    x, y, time = decays(3000)
    image = beam_image(x, y, time, EDGES)
    plot = tracker_image(image, beam_image(x, y, time, EDGES))
    assert "45 mm aperture" in plot.alt
    assert plot.table.columns[:2] == ("time [μs]", "tracks")
    column = plot.table.columns.index("width y [mm]")
    np.testing.assert_allclose(plot.table.rows[:, column], 1e3 * image.width_y)


def one_track(**changes) -> Tracks:
    """A track that passes all cuts, but for the changes."""
    columns = {name: np.zeros(1, np.int64) for name in Tracks._fields} | {
        "planes": np.array([15]), "x": np.array([0.1]), "p_value": np.array([0.5]), "vertex": np.array([1]),
        "vertex_covariance": np.diag([2e-3, 2e-3, 0.02])[None] ** 2, "crossed": np.array([15]),
        "residual": np.full((1, 40), 1e-4),
    }  # fmt: skip
    return Tracks(**(columns | {name: np.atleast_1d(value) for name, value in changes.items()}))


@pytest.mark.parametrize(
    "change",
    [
        {"status": 1}, {"p_value": 0.04}, {"planes": 11}, {"missed": 5}, {"x": 0.3}, {"y": 0.041},
        {"residual": np.full((1, 40), -6e-4)},
    ],
)  # fmt: skip
def test_each_cut_on_the_fit_takes_its_tracks_out(change):
    assert good_tracks(one_track())[0]
    assert not good_tracks(one_track(**change))[0]


@pytest.mark.parametrize(
    "change",
    [
        {"vertex": 0}, {"through_metal": 2}, {"vertex_covariance": np.diag([6e-3, 2e-3, 0.02])[None] ** 2},
        {"vertex_covariance": np.diag([2e-3, 4e-4, 0.02])[None] ** 2},
    ],
)  # fmt: skip
def test_each_cut_on_the_vertex_takes_its_tracks_out(change):
    assert good_vertices(one_track())[0]
    assert not good_vertices(one_track(**change))[0]
    assert good_vertices(one_track(through_metal=2), Cuts(metal=True))[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"gap": 0.0}, {"longest": 1.0}, {"least_planes": 1}, {"least_hits": 6}, {"road": 1e-3}, {"views": 0.0},
        {"outlier": 1.0}, {"fit_step": 0.0}, {"step": 1.0}, {"longest_path": 0.1}, {"radial_shift": math.nan},
    ],
)  # fmt: skip
def test_settings_out_of_bounds_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrackSettings(**wrong)
    assert dataclasses.replace(TrackSettings(), gap=30e-9).gap == 30e-9
