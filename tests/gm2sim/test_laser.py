"""The laser in raw files: fills of their own type, pulses inside fills of muons, and the gain that they measure."""

from pathlib import Path

import numpy as np
import pytest

from detectors.gain import flash_sag
from gm2sim.config import Config, load
from gm2sim.laser import LaserGains, laser_gains
from gm2sim.raw import check, open_run
from gm2sim.reco import reconstruct
from gm2sim.run import run
from gm2sim.setup import Setup
from gm2sim.timeline import FillType

CONFIG = {
    "run.fills": 4,
    "run.subruns": 1,
    "beam.muons_per_fill": 200,
    "tracking.fill_duration_us": 400.0,
    "laser.in_fill_every": 1,
    "laser.fill_every": 2,
    "daq.pedestal_every": 4,
    "daq.waveform_channels": ["7:30", "7:31"],
}


@pytest.fixture(scope="module")
def config() -> Config:
    return load("gasgun", CONFIG)


@pytest.fixture(scope="module")
def folder(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("laser") / "out"
    run(config, out, report=False)
    return out


@pytest.fixture(scope="module")
def raw(folder: Path) -> Path:
    (path,) = folder.glob("*.mid")
    return path


@pytest.fixture(scope="module")
def gains(raw: Path) -> LaserGains:
    return laser_gains(raw)


def test_laser_and_pedestal_fills_are_events_of_their_own_type(raw: Path) -> None:
    kinds = [FillType(event.fill_type).name for event in open_run(raw)]
    assert kinds == ["MUONS", "MUONS", "LASER", "MUONS", "MUONS", "LASER", "PEDESTAL"]
    assert check(raw) == []
    for event in open_run(raw):
        if event.fill_type != FillType.MUONS:
            assert event.crates == []
            samples = np.stack(event.waveforms(5).samples)
            assert samples.shape == (54, 4 if event.fill_type == FillType.LASER else 1, 800)


def test_pedestal_fills_show_the_level_and_noise_of_the_channels(config: Config, raw: Path) -> None:
    constants = Setup.of(config).constants
    (event,) = (event for event in open_run(raw) if event.fill_type == FillType.PEDESTAL)
    samples = np.stack([np.stack(event.waveforms(calo + 1).samples) for calo in range(24)])[:, :, 0].astype(np.float64)
    noise = np.sqrt(config.detectors.noise_counts**2 + config.detectors.common_noise_counts**2 + 1.0 / 12.0)
    even, odd = samples[..., ::2].mean(axis=2), samples[..., 1::2].mean(axis=2)
    error = noise / np.sqrt(400)
    pull = (even - odd - constants.even_odd) / (error * np.sqrt(2.0))
    assert pull.std() == pytest.approx(1.0, abs=5 / np.sqrt(2 * pull.size))
    # Common noise is the same for the 54 channels of a calorimeter: the mean of all has the error of 24 of those.
    assert (0.5 * (even + odd) - constants.pedestal).mean() == pytest.approx(0.0, abs=5 * noise / np.sqrt(800 * 24))


def test_islands_are_pieces_of_whole_waveforms(raw: Path) -> None:
    seen = 0
    for event in open_run(raw):
        if event.fill_type == FillType.MUONS:
            whole = event.waveforms(7)
            assert whole.channels == (30, 31)
            for island in event.islands(7):
                for row, channel in enumerate(whole.channels):
                    piece = whole.samples[row][0, island.time : island.time + island.length]
                    np.testing.assert_array_equal(piece, island.samples[channel])
                seen += 1
    assert seen > 8  # every fill has a pulse before the injection and two inside


def test_pulses_come_when_they_should(gains: LaserGains) -> None:
    assert gains.inside.sum() == 4 * 3
    assert (~gains.inside).sum() == 8
    muons = gains.time[gains.inside]
    expected = np.concatenate([[-0.5e-6, 5e-6 + 20e-6 * k, 325e-6 + 20e-6 * k] for k in range(4)])
    # The highest sample of a pulse comes up to three samples behind its start.
    assert (muons - expected > 0.0).all()
    assert (muons - expected < 4e-9).all()


def expected_gain(config: Config, time: float) -> np.ndarray:
    """Gain of every channel without muons: temperature, flash, and what earlier pulses of the laser left."""
    constants = Setup.of(config).constants
    flat = [constants.flash_amplitude.ravel(), constants.flash_time.ravel()]
    sag = np.array([flash_sag(time, a, tau) for a, tau in zip(*flat, strict=True)]).reshape(24, 54)
    sync = 0.5e-6 + time
    sag = sag + constants.drop_per_gev * constants.laser_light * np.exp(-sync / constants.drop_time) * (sync > 1e-7)
    return constants.out_of_fill * (1.0 - sag)


def test_the_laser_measures_temperature_and_sag_as_configured(config: Config, gains: LaserGains) -> None:
    constants = Setup.of(config).constants
    # Photons of the pulse: with the saturation of the pixels the height varies as 1/sqrt(n).
    spread = 1.0 / np.sqrt(constants.laser_light * constants.light_yield)
    outside = gains.gain[~gains.inside]
    pull = (outside / constants.out_of_fill - 1.0) / spread
    n = pull.size
    assert pull.mean() == pytest.approx(0.0, abs=5 / np.sqrt(n) + 0.01)  # 1 % of a spread of 2 %: 2e-4 in gain
    assert pull.std() == pytest.approx(1.0, abs=0.05)  # noise and the crosstalk of time and height in the fit
    for row in np.flatnonzero(gains.inside):
        ratio = gains.gain[row] / expected_gain(config, gains.time[row] - 2e-9)
        # Muons' positrons pull single channels down by 1e-3 at most, and their mean by less than 1e-4.
        assert np.mean(ratio) == pytest.approx(1.0, abs=5 * spread.mean() / np.sqrt(ratio.size) + 3e-4)
    early = gains.inside & (gains.time > 0.0) & (gains.time < 30e-6)
    late = gains.inside & (gains.time > 300e-6)
    assert 1.0 - gains.gain[early].mean() / gains.gain[late].mean() > 5 * spread.mean() / np.sqrt(early.sum() * 1296)


def test_monitors_divide_out_the_brightness_of_the_heads(gains: LaserGains) -> None:
    means = gains.gain[~gains.inside].reshape(8, 6, -1).mean(axis=2)
    assert gains.brightness[~gains.inside].std() > 0.005
    # 216 crystals of 2 % spread are known to 0.13 %; heads vary by 1 %.
    assert (means - means.mean(axis=0)).std() < 0.0025


def test_no_pulse_of_the_laser_is_taken_for_a_positron(raw: Path, gains: LaserGains) -> None:
    clusters = reconstruct(raw)
    assert clusters.multiplicity.max() < 40
    assert clusters.energy.max() < 8.0


def test_without_the_laser_the_muons_and_their_islands_are_the_same(folder: Path, tmp_path: Path) -> None:
    off = {"laser.in_fill_every": 0, "laser.fill_every": 0, "laser.sync": False, "daq.pedestal_every": 0}
    # The pulses of the laser leave the gain a little lower for those behind them: without the sag nothing changes.
    same = {"sipm.gain_sag": False, "sipm.double_pulse": False, "run.fills": 1, "laser.in_fill_every": 1}
    islands = []
    for name, changes in (("on", CONFIG | same), ("off", CONFIG | same | off)):
        run(load("gasgun", changes), tmp_path / name, report=False)
        (path,) = (tmp_path / name).glob("*.mid")
        event = next(iter(open_run(path)))
        found = {}
        for crate in event.crates:
            for island in event.islands(crate):
                if np.count_nonzero(event.pedestals(crate) - island.samples.min(axis=1) > 150) < 40:
                    found[crate, island.time] = island.samples.tobytes()
        islands.append(found)
    assert len(islands[1]) > 5
    on, off_ = islands
    # An island that a pulse of the laser touches is longer; all others are equal to the last bit.
    assert sum(on.get(place) == samples for place, samples in off_.items()) >= len(off_) - 2


def test_the_run_database_says_what_the_monitors_are(raw: Path) -> None:
    run_file = open_run(raw)
    settings = run_file.odb["Equipment"]["AMC1333"]["Settings"]["Monitor"]
    assert len(settings["Channels"]) == 18
    for event in run_file:
        if 33 in event.waveform_crates:
            found = event.waveforms(33)
            assert found.channels == tuple(range(18))
            assert found.samples[0].shape[1] == settings["Waveform length"]
            top = np.stack(found.samples).argmax(axis=2) - settings["Pulse at sample"]
            # The amplifiers peak 160 ns, 128 samples, behind the pulse; around the top the noise of 2 counts decides.
            assert np.abs(top - 128).max() < 25
