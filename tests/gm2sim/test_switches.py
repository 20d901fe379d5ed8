"""Every effect of the detectors is a switch of the configuration that leaves all other random numbers as they were."""

from dataclasses import replace

import numpy as np
import pytest

from detectors.calorimeter import light_of
from detectors.straws import CELLS
from gm2sim.chain import detect_decays
from gm2sim.config import load
from gm2sim.fill import Detected
from gm2sim.monitors import simulate_monitors
from gm2sim.setup import Setup
from gm2sim.summary import Tally
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.crossings import Crossings

KEY = FillKey(11, 2, 0, 0)
N = 1500
BASE = {"daq.q_method": False, "detectors.channel_status": True, "straws.channel_status": True}


def decayed(setup: Setup) -> Bunch:
    """Muons that have decayed all over ring and fill."""
    rng = np.random.default_rng(4)
    muons = Bunch.empty(N).with_momentum(rng.normal(0.0, 1e-3, N), setup.ring.reference)
    muons.state[:] = State.DECAYED
    muons.x[:], muons.y[:] = rng.normal(6e-3, 0.012, N), rng.normal(0.0, 0.012, N)
    muons.theta[:], muons.time[:] = rng.uniform(0.0, 2.0 * np.pi, N), np.sort(rng.uniform(1e-6, 600e-6, N))
    return muons


class Case:
    """One configuration and what its detectors saw."""

    def __init__(self, changes: dict[str, object]) -> None:
        self.setup = Setup.of(load("gasgun", BASE | changes))
        self.seen: Detected = detect_decays(self.setup, decayed(self.setup), KEY, None, Tally())

    def photoelectrons(self) -> np.ndarray:
        """Photoelectrons of each deposit that has any."""
        return light_of(self.seen.deposits, KEY, self.setup.calorimeters, self.setup.constants).photoelectrons


@pytest.fixture(scope="module")
def base() -> Case:
    return Case({})


def same(mine: tuple, other: tuple) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(mine, other, strict=True))


def samples(case: Case) -> list[bytes]:
    return [islands.samples.tobytes() for islands in case.seen.digits.islands]


def rows(table: tuple, which: np.ndarray) -> tuple:
    return tuple(column[which] for column in table)


def test_the_case_has_something_of_everything(base: Case) -> None:
    hits = base.seen.hits
    assert (hits.order > 0).sum() > 20
    assert (hits.depth > 0.0).sum() > 20
    assert base.seen.crossings.channel.size > 100
    assert base.seen.straws is not None
    assert set(base.seen.straws.source) == {0, 1, 2}


def test_photons_leave_the_positrons_alone(base: Case) -> None:
    off = Case({"transport.photons": False})
    assert same(off.seen.ends, base.seen.ends)
    assert not (off.seen.hits.order > 0).any()
    assert same(off.seen.hits, rows(base.seen.hits, base.seen.hits.order == 0))
    own = base.seen.deposits.order == 0
    for name in ("number", "calo", "crystal", "energy", "time"):
        assert np.array_equal(getattr(off.seen.deposits, name), getattr(base.seen.deposits, name)[own])
    assert same(off.seen.crossings, base.seen.crossings)
    # The light of a positron is not changed by a photon beside it.
    light = light_of(base.seen.deposits, KEY, base.setup.calorimeters, base.setup.constants)
    deposits = base.seen.deposits
    lit = np.flatnonzero(own)
    alone = light_of(
        deposits._replace(**{name: getattr(deposits, name)[lit] for name in deposits._fields}),
        KEY, base.setup.calorimeters, base.setup.constants,
    )  # fmt: skip
    assert np.isin(alone.light, light.light).all()
    assert np.array_equal(alone.photoelectrons, off.photoelectrons())


def test_entry_through_sides_leaves_those_through_the_face_alone(base: Case) -> None:
    off = Case({"transport.side_entry": False})
    front = (base.seen.hits.depth == 0.0) & (base.seen.hits.order == 0)
    mine = off.seen.hits.order == 0
    assert (off.seen.hits.depth == 0.0).all()
    kept = np.isin(off.seen.hits.number[mine], base.seen.hits.number[front])
    # Without sides a positron may cross the box and come to the next calorimeter's face.
    assert same(rows(rows(off.seen.hits, mine), kept), rows(base.seen.hits, front))


def away_from_trackers(case: Case) -> np.ndarray:
    """Positrons whose whole path is too short to come near a station, or lies behind it."""
    born, ends = case.seen.positrons.theta, case.seen.ends
    reach = ends.path / case.setup.ring.reference.r0 + 0.3
    far = np.ones(case.seen.positrons.n, np.bool_)
    for azimuth in case.setup.geometry.cell_azimuths[list(CELLS)]:
        before = (azimuth - born) % (2.0 * np.pi)
        far &= (before > reach) & (before < 2.0 * np.pi - 0.3)
    return far


def test_trackers_leave_positrons_far_from_them_alone(base: Case) -> None:
    off = Case({"transport.trackers": False})
    assert off.seen.straws is None
    away = away_from_trackers(base)
    assert away.sum() > 400
    assert not np.isin(base.seen.positrons.number[away], base.seen.crossings.number).any()
    assert same(rows(off.seen.ends, away), rows(base.seen.ends, away))


def test_straw_material_off_leaves_all_others_alone(base: Case) -> None:
    off = Case({"transport.straw_material": False})
    met = np.isin(base.seen.positrons.number, base.seen.crossings.number)
    assert same(rows(off.seen.ends, ~met), rows(base.seen.ends, ~met))


@pytest.mark.parametrize(
    "changes",
    [
        {"shower.attenuation_length_mm": 0.0},
        {"shower.albedo_percent": 0.0},
        {"shower.crosstalk_percent": 1.0},
    ],
)
def test_light_in_the_crystals_leaves_the_hits_and_the_showers_alone(base: Case, changes: dict[str, float]) -> None:
    off = Case(changes)
    assert same(off.seen.hits, base.seen.hits)
    # Soft photons carry a share of each shower away, so that the rest leaks less by that share on all sides.
    mine, other = off.seen.leakage, base.seen.leakage
    some = (other.rear > 0.0) & (other.side > 0.0)
    share = mine.rear[some] / other.rear[some]
    assert some.sum() > 200
    assert share.mean() == pytest.approx(1.0, abs=0.01)
    np.testing.assert_allclose(mine.side[some], share * other.side[some], rtol=1e-9)
    if "shower.albedo_percent" not in changes:
        np.testing.assert_array_equal(mine.rear, other.rear)


@pytest.mark.parametrize(
    "changes",
    [
        {"sipm.gain_sag": False},
        {"sipm.double_pulse": False},
        {"sipm.temperature": False},
        {"detectors.templates": False},
        {"detectors.time_alignment": False},
        {"detectors.channel_status": False},
        {"detectors.common_noise_counts": 0.5},
        {"detectors.clock_ppm": 20.0},
        {"laser.sync": False},
    ],
)
def test_gains_and_electronics_leave_the_light_alone(base: Case, changes: dict[str, object]) -> None:
    off = Case(changes)
    assert same(off.seen.deposits, base.seen.deposits)
    assert np.array_equal(off.photoelectrons(), base.photoelectrons())
    assert off.seen.straws is not None
    assert base.seen.straws is not None
    assert same(off.seen.straws, base.seen.straws)
    if "laser.sync" not in changes:  # the pulse itself is put in by the run
        assert samples(off) != samples(base)


def test_light_yields_leave_the_deposits_alone(base: Case) -> None:
    off = Case({"sipm.light_yields": False})
    assert same(off.seen.deposits, base.seen.deposits)
    assert not np.array_equal(off.photoelectrons(), base.photoelectrons())


@pytest.mark.parametrize(
    "changes",
    [
        {"straws.crosstalk_percent": 0.0},
        {"straws.noise_hz": 0.0},
        {"straws.jitter_ns": 0.0},
        {"straws.diffusion_um": 0.0},
        {"straws.dead_time_ns": 0.0},
        {"straws.channel_status": False},
    ],
)
def test_straws_leave_the_calorimeters_and_each_other_alone(base: Case, changes: dict[str, object]) -> None:
    off = Case(changes)
    assert samples(off) == samples(base)
    assert same(off.seen.crossings, base.seen.crossings)
    mine, other = off.seen.straws, base.seen.straws
    assert mine is not None
    assert other is not None
    noise = [{(int(c), int(t)) for c, t in zip(h.channel[h.source == 2], h.tdc[h.source == 2], strict=True)}
             for h in (mine, other)]  # fmt: skip
    (name,) = changes
    if name == "straws.noise_hz":
        assert not noise[0]
    elif name in ("straws.jitter_ns", "straws.diffusion_um", "straws.crosstalk_percent"):
        # A noise hit can only be lost to, or saved from, the dead time of another hit.
        assert len(noise[0] ^ noise[1]) <= 2
    tracks = [{int(c) for c in h.crossing[h.source == 0]} for h in (mine, other)]
    assert tracks[0] >= tracks[1] if name in ("straws.channel_status", "straws.dead_time_ns") else len(
        tracks[0] ^ tracks[1]
    ) <= 0.03 * len(tracks[1])  # fmt: skip


def test_misaligned_straws_leave_the_flight_to_them_alone(base: Case) -> None:
    off = Case({"straws.alignment": False})
    away = away_from_trackers(base)
    assert same(rows(off.seen.ends, away), rows(base.seen.ends, away))


def test_monitors_leave_each_other_alone(base: Case) -> None:
    crossings = Crossings(*(np.zeros(0, np.int64) for _ in range(4)), np.zeros(0), np.zeros(0))
    every = {record.crate: record.samples for record in simulate_monitors(base.setup, KEY, crossings).records}
    for switch, crates in (("t0", {25}), ("ibms", {26, 27, 28}), ("kicker_traces", {29}), ("quad_traces", {30})):
        monitors = base.setup.config.monitors.model_copy(update={switch: False})
        fewer = replace(base.setup, config=base.setup.config.model_copy(update={"monitors": monitors}))
        rest = {record.crate: record.samples for record in simulate_monitors(fewer, KEY, crossings).records}
        assert set(every) - set(rest) == crates
        for crate, waveforms in rest.items():
            np.testing.assert_array_equal(waveforms, every[crate])
