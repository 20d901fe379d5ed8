"""The fast rotation against closed forms, and its analysis against the momenta of the muons that made it."""

import math
from functools import cache

import numpy as np
import pytest
from scipy.stats import skewnorm

from gm2sim import fast_rotation as fr
from gm2sim.fast_rotation.background import fit_background, own_shape
from gm2sim.fast_rotation.harmonics import harmonics, windows
from gm2sim.plots.fast_rotation import cosine_transform, equilibrium_radii, fast_rotation_signal
from tracking.bunch_shape import T0, distribution
from tracking.muon import LIFETIME, MASS, reference

RING = reference(1.4513, 7.112)
N = 0.108
REVOLUTION = fr.smooth_ring(N, RING)
PER_METRE = (1.0 - N) / RING.r0  # delta of a metre of x_e
QUICK = fr.Settings(replicas=0)


def of_density(density: np.ndarray, x: np.ndarray, n: int) -> np.ndarray:
    """n values that share out a piecewise-linear density evenly: no sampling noise."""
    below = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(x))])
    return np.interp((np.arange(n) + 0.5) / n, below / below[-1], x)


def beam(n: int = 40_000, slope: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Skewed radii, mean 6 and width 9 mm, cut at 45 mm; times of the T0 trace, not correlated but for the slope."""
    x = np.linspace(-0.0445, 0.0445, 4001)
    skewed = skewnorm(-3)
    x_e = of_density(skewed.pdf(skewed.mean() + (x - 6e-3) / 9e-3 * skewed.std()), x, n)
    shape = distribution(T0)
    t = np.linspace(shape.time[0], shape.time[-1], 4001)
    times = of_density(np.interp(t, shape.time, shape.weight), t, 4000)
    # Steps of the golden ratio pair radii and times evenly (H. Weyl 1916).
    share = np.arange(n) * 0.5 * (math.sqrt(5.0) - 1.0) % 1.0
    time = np.interp(share, (np.arange(4000) + 0.5) / 4000, times)
    return np.clip(x_e + slope * time, -0.0449, 0.0449) * PER_METRE, time


@cache
def compared(slope: float = 0.0, corrected: bool = False, azimuth: float = 0.0) -> fr.Comparison:
    settings = fr.Settings(replicas=0, azimuth=azimuth)
    return fr.analyse_muons(*beam(slope=slope), n=N, reference=RING, corrected=corrected, groups=0, settings=settings)


def phase_time(time: np.ndarray) -> float:
    """Time about which a bunch is symmetric as its first harmonic sees it [s]."""
    return float(np.angle(np.exp(2j * np.pi * time / RING.period).mean()) * RING.period / (2.0 * math.pi))


def test_each_passage_is_in_the_bin_of_its_own_time() -> None:
    delta, time = np.array([0.0, 2e-3, -3e-3]), np.array([0.0, 13.3e-9, -40.2e-9])
    signal = fr.passages(delta, time, REVOLUTION, RING, azimuth=1.0, stop=20e-6)
    expected = np.zeros(20_000)
    for d, t in zip(delta, time, strict=True):
        period = float(REVOLUTION.period_of(d))
        at = t + (np.arange(200) + 1.0 / (2.0 * math.pi)) * period
        expected += np.histogram(at, signal.edges)[0]
    np.testing.assert_array_equal(signal.counts, expected)


def test_passages_thin_out_with_the_muons_own_lifetimes_and_end_when_it_stops() -> None:
    delta = np.array([-2e-3, 2e-3])
    signal = fr.passages(delta, [0.0, 0.0], REVOLUTION, RING, decay=True, stop=300e-6)
    at = 0.5 * (signal.edges[1:] + signal.edges[:-1])
    tau = LIFETIME * np.hypot(RING.p0_gev * (1.0 + delta), MASS) / MASS
    rate = (1e-9 / REVOLUTION.period_of(delta))[:, None] * np.exp(-at / tau[:, None])
    np.testing.assert_allclose(signal.smooth, rate.sum(axis=0), rtol=1e-9)
    # Each turn's passage is weighed with its own survival: the sum over turns is geometric.
    turns = np.ceil(300e-6 / REVOLUTION.period_of(delta))
    q = np.exp(-REVOLUTION.period_of(delta) / tau)
    assert signal.counts.sum() == pytest.approx(((1.0 - q**turns) / (1.0 - q)).sum(), rel=1e-9)
    stopped = fr.passages(delta, [0.0, 0.0], REVOLUTION, RING, stop_time=[10e-6, np.inf], stop=30e-6)
    assert stopped.counts.sum() == sum(
        math.ceil(t / REVOLUTION.period_of(d)) for t, d in zip((10e-6, 30e-6), delta, strict=True)
    )
    assert stopped.smooth[20_000] == pytest.approx(1e-9 / REVOLUTION.period_of(2e-3), rel=1e-12)


def test_revolution_of_the_smooth_ring_is_the_closed_form_and_comes_back_from_its_closed_orbits() -> None:
    delta = np.array([-5e-3, 0.0, 1.1e-3, 5e-3])
    x_e = RING.r0 * delta / (1.0 - N)
    np.testing.assert_allclose(REVOLUTION.x_e_of(delta), x_e, atol=1e-12)
    # Momentum compaction 1/(1 - n) less 1/gamma^2; second order: (dT/T)^2 ~ delta^2 = 2.5e-5 of the first.
    slip = 1.0 / (1.0 - N) - 1.0 / RING.gamma0**2
    np.testing.assert_allclose(REVOLUTION.period_of(delta) / RING.period - 1.0, slip * delta, rtol=1e-4, atol=1e-12)
    few = np.array([0.0, 5e-4, -5e-4, 1e-3, -1e-3])
    again = fr.measured_ring(few, REVOLUTION.period_of(few), RING)
    # Linear interpolation of the table and the fit leave some nm.
    np.testing.assert_allclose(again.x_e_of(delta), x_e, atol=1e-7)
    np.testing.assert_allclose(REVOLUTION.x_e_at(1.0 / REVOLUTION.period_of(delta)), x_e, atol=1e-9)


def test_one_momentum_is_found_at_its_frequency() -> None:
    delta = np.full(2000, 1.2e-3)
    time = of_density(np.array([0.0, 1.0, 0.0]), np.array([-60e-9, 0.0, 60e-9]), 2000)
    settings = fr.Settings(t0=0.0, replicas=0)
    found = fr.analyse_muons(delta, time, n=N, reference=RING, groups=0, settings=settings).result
    # The line is as wide as the transform is short: its peak is within half a step of 2 kHz, 1.06 mm.
    peak = found.x_e[int(np.argmax(found.density))]
    assert abs(peak - REVOLUTION.x_e_of(1.2e-3)) < 1.1e-3
    # (Moments and t0 are not to be had: the envelope never falls, and the end at 300 us leaves side lobes everywhere.)
    assert found.density.max() * settings.step > 0.7


def test_gaussian_beam_loses_its_fast_rotation_as_the_closed_form_says() -> None:
    # facts of the experiment: sigma_T/T = 1.27e-3 for 9 mm; .98 .87 .57 .28 .03 at 4 10 20 30 50 us.
    x = np.linspace(-0.0445, 0.0445, 4001)
    x_e = of_density(np.exp(-0.5 * (x / 9e-3) ** 2), x, 40_000)
    signal = fr.passages(x_e * PER_METRE, np.zeros_like(x_e), REVOLUTION, RING, stop=52e-6)
    ratio = signal.counts / signal.smooth
    at = 0.5 * (signal.edges[1:] + signal.edges[:-1])
    for t, published in ((4e-6, 0.98), (10e-6, 0.87), (20e-6, 0.57), (30e-6, 0.28), (50e-6, 0.03)):
        # One whole turn, so that the mean and the other harmonics drop out.
        share = np.clip(0.5 * RING.period / 1e-9 + 0.5 - np.abs(at - t) / 1e-9, 0.0, 1.0)
        wave = 2e-9 * abs((share * ratio * np.exp(2j * np.pi * at / RING.period)).sum()) / RING.period
        expected = 2.0 * math.exp(-0.5 * (2.0 * math.pi * t / RING.period * 9e-3 / RING.r0) ** 2)
        # The turn that the window holds is within half a turn of t: 0.5 T/t times -d ln/d ln t = 0.046 (t/4 us)^2.
        tolerance = 0.5 * RING.period / t * 0.046 * (t / 4e-6) ** 2 * expected + 1e-3
        assert wave == pytest.approx(expected, abs=tolerance)
        assert 0.5 * wave == pytest.approx(published, abs=0.005 + 0.5 * tolerance)


def test_c_e_of_an_uncorrelated_beam_is_that_of_its_own_momenta() -> None:
    delta, time = beam()
    found = compared()
    truth = fr.electric_field_correction(REVOLUTION.x_e_of(delta), np.ones_like(delta), N, RING)
    assert found.truth.radii == truth
    assert truth.mean == pytest.approx(6e-3, abs=0.05e-3)
    assert abs(found.difference_ppb) < 5.0
    # The slope of the form factor, -(w sigma_t)^2 per relative frequency, and the lag of the bunch's mean behind its
    # phase time, each about 1 ppb, are the bias of the method: they vanish with the bunch's own form factor.
    assert abs(compared(corrected=True).difference_ppb) < 0.5
    assert abs(found.result.t0 - phase_time(time)) < 0.5e-9
    assert abs(found.result.t0_symmetric - phase_time(time)) < 0.5e-9
    np.testing.assert_allclose(found.result.density, found.truth.density, atol=0.02 * found.truth.density.max())


def test_debunching_fit_agrees_without_any_transform_and_shows_the_bunch() -> None:
    delta, time = beam()
    found = fr.debunch(fr.passages(delta, time, REVOLUTION, RING, stop=61e-6), n=N, reference=RING)
    truth = fr.electric_field_correction(REVOLUTION.x_e_of(delta), np.ones_like(delta), N, RING)
    edges = RING.period * np.linspace(-0.5, 0.5, 16)
    wrapped = (time - edges[0]) % RING.period + edges[0]
    true_shape = np.histogram(wrapped, edges)[0] / len(time)
    # Steps for a curve: an edge of the shape moves by a share of its slope, at most 0.02 from slot to slot.
    np.testing.assert_allclose(found.shape, true_shape, atol=0.005)
    # A bunch placed 0.1 ns wrong, a hundredth of a slot, is 2 ppb (see t0).
    assert abs(found.radii.c_e_ppb - truth.c_e_ppb) < 8.0
    assert abs(found.radii.mean - truth.mean) < 0.3e-3
    with pytest.raises(ValueError, match="needs it to 60 us"):
        fr.debunch(fr.passages(delta[:10], time[:10], REVOLUTION, RING, stop=20e-6), n=N, reference=RING)


def test_azimuth_of_the_detector_does_not_matter() -> None:
    assert abs(compared(azimuth=3.0).result.c_e_ppb - compared().result.c_e_ppb) < 0.1
    assert abs(compared(azimuth=3.0).result.t0 - compared().result.t0) < 0.01e-9


def test_background_is_what_the_missing_microseconds_leave() -> None:
    # A Gaussian of 8 kHz: its transform from T on is known by quadrature of the envelope, fine and independent.
    f = QUICK.frequency
    t = (np.arange(60_000) + 0.5) * 5e-9
    envelope = np.exp(-0.5 * (2.0 * np.pi * 8e3 * t) ** 2)
    waves = np.cos(2.0 * np.pi * (f - 6700e3)[:, None] * t[None, :])
    cosine = (waves[:, t > 4e-6] @ envelope[t > 4e-6]) * 5e-9
    half = (waves @ envelope) * 5e-9
    system = own_shape(f, QUICK.inside, 4e-6, 0.0)
    # Outside the window, 4.7 sigma away, the density is 2e-5 of its peak: what the window cannot hold.
    tolerance = 1e-4 * half.max()
    np.testing.assert_allclose(system.inverse @ cosine, half[QUICK.inside], atol=tolerance)
    for model in ("own", "error"):
        background = fit_background(model, f, cosine, QUICK.inside, gap=4e-6, turn=0.0)
        np.testing.assert_allclose(background.values, cosine - half, atol=tolerance)
        assert background.parameters["amplitude"] == pytest.approx(1.0, abs=1e-3)
    # The other two forms are not those of a Gaussian: a few percent of the background.
    for model in ("sinc", "triangle"):
        background = fit_background(model, f, cosine, QUICK.inside, gap=4e-6, turn=0.0)
        np.testing.assert_allclose(background.values, cosine - half, atol=0.05 * np.abs(cosine - half).max())


def test_choices_of_the_analysis_move_c_e_little_but_t0_does_not() -> None:
    signal = compared().signal
    shifts = fr.variations(signal.edges, signal.counts, n=N, reference=RING, smooth=signal.smooth)
    late = shifts.pop("t0 + 1 ns"), shifts.pop("t0 - 1 ns")
    assert max(map(abs, shifts.values())) < 2.0
    # First order in t0, opposite signs; second order is (w dt)^2/2 = 9e-4 of C_e.
    assert late[0] < -15.0 < 15.0 < late[1]
    assert abs(late[0] + late[1]) < 4.0


def test_correlation_of_momentum_and_time_biases_the_method_and_its_form_factor_takes_it_away() -> None:
    for slope in (-0.01e-3 / 1e-9, 0.01e-3 / 1e-9):
        plain, corrected = compared(slope), compared(slope, corrected=True)
        # 3.3 ppb for a micrometre per ns, whatever its sign.
        assert 25.0 < plain.difference_ppb * np.sign(slope) < 40.0
        assert abs(corrected.difference_ppb) < 5.0


def sample(n: int, seed: int, slope: float = 0.0, bend: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Random muons of the beam, with x_e + slope t + bend [(t/40 ns)^2 - 1]; times of a Gaussian bunch of 28 ns."""
    rng = np.random.default_rng(seed)
    delta, _ = beam(n)
    time = rng.permutation(of_density(np.exp(-0.5 * np.linspace(-3, 3, 601) ** 2), np.linspace(-84e-9, 84e-9, 601), n))
    x_e = delta / PER_METRE + slope * time + bend * ((time / 40e-9) ** 2 - 1.0)
    return np.clip(x_e, -0.0449, 0.0449) * PER_METRE, time


@pytest.mark.parametrize(("slope", "bend"), [(0.0, 0.0), (0.03e-3 / 1e-9, 0.0), (0.0, -2e-3)])
def test_joint_fit_finds_c_e_whatever_the_correlation_of_momentum_and_time(slope: float, bend: float) -> None:
    found = fr.joint_fit_of_muons(*sample(20_000, 1, slope, bend), n=N, reference=RING, groups=4)
    # What the phases are smoothed by, a hundredth of a turn (1.5 ns) beside the width 28 ns, takes (1.5/28)^2 = 3e-3
    # off a correlation worth up to 400 ppb: 1.2 ppb. Frequencies: 2 kHz beside 9 kHz, 0.05 of the same twice.
    assert abs(found.difference_ppb) < 4.0 * found.difference_error_ppb + 3.0
    assert found.fit.radii.c_e_ppb - found.truth.c_e_ppb == found.difference_ppb
    assert found.difference_error_ppb < found.fit.unseen_ppb


def test_joint_fit_needs_only_the_bunches_of_other_muons_of_the_same_beam() -> None:
    muons = sample(20_000, 2, bend=-2e-3)
    found = fr.joint_fit_of_muons(*muons, n=N, reference=RING, guide="halves", groups=0)
    plain = fr.analyse_muons(*muons, n=N, reference=RING, groups=0)
    # The spread over beams is what the signal leaves unseen; that is far less than the bias of the cosine transform.
    assert abs(found.difference_ppb) < 3.0 * found.fit.unseen_ppb < 0.5 * abs(plain.difference_ppb)


def test_joint_fit_of_the_signal_alone_shows_the_correlation() -> None:
    delta, time = sample(20_000, 3, slope=0.1e-3 / 1e-9)
    found = fr.joint_fit_of_muons(delta, time, n=N, reference=RING, guide="none", groups=0)
    assert abs(found.difference_ppb) < 4.0 * found.fit.unseen_ppb
    x_e, share = found.fit.mean_x_e(15)
    assert share.sum() == pytest.approx(1.0, rel=1e-12)
    middle = np.abs(found.fit.phase.reshape(15, 2).mean(axis=1)) < 0.25
    at = found.fit.phase.reshape(15, 2).mean(axis=1)[middle] * RING.period
    slope = np.polyfit(at, x_e[middle], 1, w=share[middle])[0]
    # A smooth prior takes some of it away: the true slope within a fifth.
    assert slope == pytest.approx(0.1e-3 / 1e-9, rel=0.2)


def test_harmonics_of_the_signal_are_the_mean_of_the_muons_own() -> None:
    delta, time = sample(3000, 4)
    signal = fr.passages(delta, time, REVOLUTION, RING, stop=101e-6, width=0.25e-9)
    where = windows(RING, 4e-6, 0.25e-9)
    turning = 1.0 / REVOLUTION.period_of(delta)
    of_frequency, of_phase = where.factors(turning, 0.0, turning * time, 0.0)
    expected = (of_frequency * of_phase) @ turning / turning.sum()
    off = harmonics(signal, where) - expected
    # Bins move every muon's passages: 5 sigma of their mean; other harmonics leak 2e-3 of what they are (1/sqrt(n)).
    assert (np.abs(off) < 5.0 * np.sqrt(2.0 * where.bin_variance / delta.size) + 2e-3 / math.sqrt(delta.size)).all()


def test_azimuth_and_time_of_the_bunch_do_not_matter_to_the_joint_fit() -> None:
    delta, time = sample(5000, 5)
    first = fr.joint_fit_of_muons(delta, time, n=N, reference=RING, groups=0)
    round_ = fr.joint_fit_of_muons(
        delta, time, n=N, reference=RING, groups=0, settings=fr.Settings(replicas=0, azimuth=2.0)
    )
    later = fr.joint_fit_of_muons(
        delta, time + 40e-9, n=N, reference=RING, groups=0, settings=fr.Settings(replicas=0, t0_near=40e-9)
    )
    # Other bins for each passage, and other slots for each muon: a tenth of what 5000 muons leave unseen.
    assert round_.fit.radii.c_e_ppb == pytest.approx(first.fit.radii.c_e_ppb, abs=0.1 * first.fit.unseen_ppb)
    assert later.fit.radii.c_e_ppb == pytest.approx(first.fit.radii.c_e_ppb, abs=0.2 * first.fit.unseen_ppb)


def test_error_of_the_difference_is_that_of_a_sample_of_muons() -> None:
    rng = np.random.default_rng(4)
    delta, time = beam(8000)
    rng.shuffle(time)  # a random pairing: by chance times and momenta are correlated, as in any sample
    found = fr.analyse_muons(delta, time, n=N, reference=RING, settings=fr.Settings(stop=150e-6, replicas=0))
    # Some 5 ppb for 1e5 muons (sampled 4 times), as 1/sqrt(n).
    assert 5.0 < found.difference_error_ppb < 60.0
    assert abs(found.difference_ppb) < 1.1 + 4.0 * found.difference_error_ppb


def test_poisson_noise_of_1e9_positrons_gives_the_stated_error() -> None:
    delta, time = beam()
    true = fr.electric_field_correction(REVOLUTION.x_e_of(delta), np.ones_like(delta), N, RING).c_e_ppb
    signal = fr.passages(delta, time, REVOLUTION, RING, decay=True, stop=155e-6)
    scale = 1e9 / signal.counts.sum()
    settings = fr.Settings(stop=150e-6)
    pulls = []
    for seed in range(6):
        counts = np.random.default_rng(seed).poisson(signal.counts * scale)
        found = fr.analyse_fast_rotation(
            signal.edges, counts, n=N, reference=RING, smooth=signal.smooth * scale, settings=settings
        )
        assert found.c_e_error_ppb < 4.0
        # Bias of the method, 1.1 ppb, see above.
        pulls.append((found.c_e_ppb - true - 1.1) / found.c_e_error_ppb)
        assert abs(found.t0 - phase_time(time)) < 0.5e-9
        # 34 correlated points outside the window.
        assert found.chi2 < 34.0 + 6.0 * math.sqrt(2.0 * 34.0)
    # Mean of 6 pulls within 3.5/sqrt(6); 6 squares of chi-square 6 stay below 24 with 0.9995.
    assert abs(np.mean(pulls)) < 3.5 / math.sqrt(6.0)
    assert np.sum(np.square(pulls)) < 24.0


def test_measured_positrons_are_divided_by_their_own_wiggle() -> None:
    delta, time = beam()
    signal = fr.passages(delta, time, REVOLUTION, RING, decay=True, stop=155e-6)
    at = 0.5 * (signal.edges[1:] + signal.edges[:-1])
    wiggle = 1.0 + 0.37 * np.cos(2.0 * math.pi * 0.2291e6 * at - 2.1)
    scale = 1e9 / signal.counts.sum()
    counts = np.random.default_rng(1).poisson(scale * signal.counts * wiggle)
    found = fr.analyse_fast_rotation(
        signal.edges, counts, n=N, reference=RING, settings=fr.Settings(stop=150e-6, replicas=20)
    )
    assert abs(found.c_e_ppb - compared().truth.radii.c_e_ppb) < 1.1 + 4.0 * found.c_e_error_ppb


def test_pictures_say_what_they_show() -> None:
    found = compared()
    for plot in (
        fast_rotation_signal(found.signal),
        cosine_transform(found.result),
        equilibrium_radii(found.result, found.truth),
    ):
        assert len(plot.alt) > 80
        assert len(plot.table.columns) == plot.table.rows.shape[1]
        assert plot._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fr.smooth_ring(1.2, RING), "field index n = 1.2"),
        (lambda: fr.measured_ring([0.0], [1e-7], RING), "two or more pairs"),
        (lambda: fr.passages([0.0, 0.0], [0.0], REVOLUTION, RING), "1 times for 2 momenta"),
        (lambda: fr.passages([0.02], [0.0], REVOLUTION, RING), "go beyond"),
        (lambda: fr.passages([np.nan], [0.0], REVOLUTION, RING), "finite momenta"),
        (lambda: fr.passages([0.0], [0.0], REVOLUTION, RING, weight=[-1.0]), "negative"),
        (lambda: fr.passages([0.0], [0.0], REVOLUTION, RING, stop=0.0), "give a later stop"),
        (lambda: fr.passages([0.0], [0.0], REVOLUTION, RING, decay=True, stop_time=[1.0]), "decay twice"),
        (lambda: fr.delta_of_energy([0.05], RING), "GeV"),
        (lambda: fr.Settings(background="flat"), "'flat' is not known"),
        (lambda: fr.Settings(start=5e-6, stop=4e-6), "do not rise"),
        (lambda: fr.analyse_fast_rotation([0.0, 1e-9], [1.0, np.nan], n=N, reference=RING), "not finite"),
        (lambda: fr.analyse_fast_rotation([0.0, 1e-9, 3e-9], [1.0, 1.0], n=N, reference=RING), "differ in width"),
        (lambda: fr.analyse_fast_rotation([0.0, 1.0, 2.0], [1.0, 1.0], n=N, reference=RING), "too wide"),
        (lambda: fr.analyse_fast_rotation([0.0, 1e-9], [1.0] * 5, n=N, reference=RING), "2 times for 5 counts"),
        (
            lambda: fr.analyse_fast_rotation(
                np.arange(9e3) * 1e-9, np.ones(9000), n=N, reference=RING, smooth=np.ones(9000)
            ),
            "one turn further",
        ),
        (lambda: fr.analyse_muons(*beam(100), n=N, reference=RING, corrected=True,
                                  settings=fr.Settings(stop=100e-6)), "do not resolve"),
        (lambda: fr.joint_fit_of_muons(*beam(100), n=N, reference=RING, guide="mine"), "'mine' of the joint fit"),
        (lambda: fr.joint_fit(fr.passages(*beam(100), REVOLUTION, RING, stop=20e-6), n=N, reference=RING, muons=100),
         "does not hold the bunch"),
        (lambda: fr.joint_fit(fr.passages(*beam(100), REVOLUTION, RING, stop=101e-6), n=N, reference=RING, muons=100,
                              bunches=np.ones((2, 2))), "take those of conditional"),
        (lambda: fr.conditional([7e-3], [0.0], REVOLUTION, RING), "no muon of the reference"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_sentence(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        call()  # type: ignore[operator]
    assert "\n" not in str(refused.value)
