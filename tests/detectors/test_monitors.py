"""Waveforms of the auxiliary detectors: what goes in is found back, as well as photons, noise and muons allow."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from detectors.field_traces import (
    COUNTS_PER_TESLA,
    COUNTS_PER_VOLT,
    KICKER_TRACE,
    QUAD_TRACE,
    in_tesla,
    in_volts,
    kicker_waveforms,
    quad_waveforms,
)
from detectors.harps import RESPONSE as HARP_RESPONSE
from detectors.harps import harp_signal, harp_trace, harp_waveforms
from detectors.ibms import LIGHT_PER_METRE, MONITORS, beam_at, ibms_profile, ibms_waveforms, on_fibres
from detectors.t0 import T0Settings, expected_light, t0_time, t0_waveforms
from detectors.trace import Response, Trace, light_waveforms
from fields.pulse import KickerPulse, Kickers
from fields.ring import fibre_harps
from fields.voltage import VoltageProgram
from gpu.rng import FillKey
from tracking.bunch_shape import POINT, T0, bunches, flat_profile, gaussian_profile, moments, share_before
from tracking.crossings import Crossings
from tracking.inject import InjectedBeam

KEY = FillKey(3, 1, 0, 0)
BETA = 0.99941755  # at the magic momentum
COUNTER = T0Settings()
FLIGHT = COUNTER.flight(BETA)
MUONS = 1e5
PROFILES = {"t0": T0, "gaussian": gaussian_profile(35e-9), "flat": flat_profile(149e-9), "bunch 5": bunches()[5]}


def test_share_of_a_bunch_is_the_integral_of_its_density() -> None:
    for table in PROFILES.values():
        t = np.linspace(-200e-9, 200e-9, 400_001)
        density = np.interp(t, *np.transpose(table), left=0.0, right=0.0)
        whole = np.cumsum(density) / density.sum()
        np.testing.assert_allclose(share_before(table, t), whole, atol=2e-5)
    assert share_before(POINT, [-1e-12, 0.0, 1e-12]).tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("period", [1.25e-9, 0.1e-9])
def test_pulse_has_its_charge_and_its_delay_at_any_sampling(period: float) -> None:
    one = Response(7.0, 1.5e-9, 6.0e-9)
    weights = one.weights(period)
    assert weights.sum() == pytest.approx(1.0, abs=1e-4)
    # samples stand at 0, period, ...; the light came half a period before the first of them on average
    middle = (weights * np.arange(weights.size)).sum() * period + 0.5 * period
    assert middle == pytest.approx(one.delay, rel=1e-3)


def test_light_is_poisson_and_noise_is_white() -> None:
    trace = Trace(0.0, 80_000)
    response = Response(20.0)
    quiet, lit = light_waveforms(
        np.array([[0.0], [0.8]]) * np.ones(trace.samples), (response, response), trace, KEY, 25, [0, 1]
    ).astype(float)
    n = trace.samples
    assert abs(quiet.mean() - trace.pedestal) < 5 * trace.noise / math.sqrt(n)
    assert abs(quiet.std() - math.hypot(trace.noise, 1 / math.sqrt(12))) < 5 * trace.noise / math.sqrt(2 * n)
    settled = lit[200:]
    charge, light = response.charge, 0.8
    assert abs(trace.pedestal - settled.mean() - charge * light) < 5 * charge * math.sqrt(light / n)
    variance = charge**2 * light * (response.weights(trace.period) ** 2).sum() + trace.noise**2  # Campbell's theorem
    # pulses last about 8 samples: so many fewer independent values
    assert abs(settled.var() / variance - 1.0) < 5 * math.sqrt(2 * 8 / n)


def waveforms(name: str, muons: float = MUONS, key: FillKey = KEY) -> np.ndarray:
    return t0_waveforms(partial(share_before, PROFILES[name]), muons, BETA, COUNTER, key, 25)


@pytest.mark.parametrize("name", PROFILES)
def test_mean_time_of_the_bunch_is_found_back_at_t0(name: str) -> None:
    true_mean, rms = moments(PROFILES[name])
    for channel, found in enumerate(waveforms(name)):
        response, light = COUNTER.responses[channel], COUNTER.light[channel] * MUONS
        time = t0_time(found, COUNTER.trace, response)
        statistics = rms * math.sqrt(1 / MUONS + 1 / light)
        reach = 250e-9 / COUNTER.trace.period  # samples on either side that are summed
        spread = COUNTER.trace.period * math.sqrt(2 * reach**3 / 3)  # of a sum of t over white noise
        noise = COUNTER.trace.noise * spread / (response.charge * light)
        assert abs(time.mean - (true_mean - FLIGHT)) < 5 * math.hypot(statistics, noise)
        # the median of the quiet samples is known to noise sqrt(pi/2)/sqrt(200)
        level = COUNTER.trace.noise * 2 * reach / math.sqrt(200) * 1.25
        counted = response.charge * math.sqrt(light * (1 + COUNTER.light[channel]))
        assert abs(time.area - response.charge * light) < 5 * math.hypot(counted, level)


def test_half_height_is_that_of_the_expected_waveform() -> None:
    share = partial(share_before, T0)
    expected = expected_light(share, MUONS, BETA, COUNTER)[1]
    response = COUNTER.responses[1]
    level = response.charge * np.convolve(expected, response.weights(COUNTER.trace.period))[: expected.size]
    without = t0_time(COUNTER.trace.pedestal - level, COUNTER.trace, response).half
    slope = np.gradient(level, COUNTER.trace.period)[np.argmax(level > 0.5 * level.max())]
    width = 1 / (response.weights(COUNTER.trace.period) ** 2).sum()  # samples that one photoelectron is spread over
    muons = expected.max() / COUNTER.light[1] * width
    # The highest of some 20 independent values near the top stands 2 sigma above it; half of that moves the level.
    scatter = level.max() / math.sqrt(muons) * math.sqrt(1 + 1 / COUNTER.light[1]) + COUNTER.trace.noise
    for fill in range(4):
        found = t0_time(waveforms("t0", key=KEY._replace(fill=fill))[1], COUNTER.trace, response).half
        assert abs(found - without) < 5 * scatter / slope


def test_both_phototubes_see_the_same_muons() -> None:
    # Few muons and much light: what scatters is the number of muons, alike in all channels.
    counter = replace(COUNTER, light=(200.0, 200.0, 200.0), responses=(Response(0.1),) * 3)
    share = partial(share_before, PROFILES["flat"])
    a, b, _ = t0_waveforms(share, 2000.0, BETA, counter, KEY, 25).astype(float)
    middle = slice(360, 420)
    assert np.corrcoef(a[middle], b[middle])[0, 1] > 0.9


def test_a_trace_without_bunch_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no bunch"):
        t0_time(waveforms("t0", muons=0.0)[0], COUNTER.trace, COUNTER.responses[0])


def test_beam_at_a_monitor_is_that_of_muons_that_drift() -> None:
    beam = InjectedBeam(alpha_x=-0.4, alpha_y=0.7, dispersion=0.3, dispersion_angle=0.05, delta_mean=0.002)
    rng = np.random.default_rng(2)
    n = 200_000
    a, b, g = rng.normal(size=(3, n))
    delta = beam.delta_mean + beam.delta_sigma * g
    size, slope = math.sqrt(beam.emittance_x * beam.beta_x), math.sqrt(beam.emittance_x / beam.beta_x)
    x = beam.x_mean - 0.077 + beam.dispersion * delta + size * a
    angle = beam.angle_mean + beam.dispersion_angle * delta + slope * (b - beam.alpha_x * a)
    for monitor in MONITORS:
        there = x + monitor.place * angle
        mean, width = beam_at(beam, monitor.place, "x")
        assert abs(there.mean() - mean) < 5 * width / math.sqrt(n)
        assert abs(there.std() / width - 1.0) < 5 / math.sqrt(2 * n)


@pytest.mark.parametrize("monitor", MONITORS, ids=lambda one: f"IBMS{one.number}")
def test_profile_of_the_beam_is_found_back_by_the_fibres(monitor) -> None:
    beam = InjectedBeam(emittance_x=8e-6, beta_x=2.0)
    share = partial(share_before, T0)
    samples = ibms_waveforms(monitor, beam, share, MUONS, BETA, KEY, 25 + monitor.number)
    found = ibms_profile(monitor, samples)
    for axis in monitor.axes:
        mean, width = beam_at(beam, monitor.place, axis)
        one = found[axis]
        crossing = MUONS * on_fibres(monitor, beam)[:16].sum()
        assert one.mean_error > 0.9 * width / math.sqrt(crossing)  # no better than the muons on fibres allow
        assert abs(one.mean - mean) < 5 * one.mean_error
        assert abs(one.width - width) < 5 * one.width_error
        light = MUONS * on_fibres(monitor, beam).reshape(-1, 16)[monitor.axes.index(axis)]
        per_muon = LIGHT_PER_METRE * 0.25 * math.pi * monitor.diameter
        pull = (one.areas / 5.0 / per_muon - light) / np.sqrt(light * (1 + 1 / per_muon) + 50.0)
        assert np.abs(pull).max() < 5.0


def test_no_beam_at_a_monitor_is_said() -> None:
    samples = ibms_waveforms(MONITORS[0], InjectedBeam(), partial(share_before, T0), 0.0, BETA, KEY, 26)
    with pytest.raises(ValueError, match="IBMS 1 saw no beam"):
        ibms_profile(MONITORS[0], samples)


def test_kicker_traces_are_the_fields_that_muons_feel() -> None:
    ring = Kickers.e989(KickerPulse.named("run2"), (0.018, 0.0184, 0.0179), 25e-9)
    felt = ring.table(2e-9, 3e-6)
    times = felt.start + felt.step * np.arange(felt.field.shape[1])
    traces = in_tesla(kicker_waveforms(ring, KEY, 29))
    inside = (KICKER_TRACE.times >= times[0]) & (KICKER_TRACE.times <= times[-1])
    for trace, field in zip(traces, felt.field, strict=True):
        off = (trace - np.interp(KICKER_TRACE.times, times, field))[inside] * COUNTS_PER_TESLA
        # white noise, rounding, and the straight lines of the table
        assert np.abs(off).max() < 5.5 * KICKER_TRACE.noise + 0.5 + ring.linear_error(felt.step) * COUNTS_PER_TESLA
    off = (traces - ring.fields(KICKER_TRACE.times)) * COUNTS_PER_TESLA
    noise = math.hypot(KICKER_TRACE.noise, 1 / math.sqrt(12))
    assert abs(off.std() - noise) < 5 * noise / math.sqrt(2 * off.size)


def test_quad_traces_are_the_voltages_that_muons_feel() -> None:
    program = VoltageProgram.run1("1a")
    nominal = {"Q1 long": (18.3e3, 18.3e3, -18.3e3, -18.3e3), "Q2 short": (18.3e3, 18.3e3, -18.3e3, -18.3e3)}
    traces = in_volts(quad_waveforms(program, nominal, KEY, 30)).reshape(2, 4, -1)
    for trace, (name, volts) in zip(traces, nominal.items(), strict=True):
        off = (trace - program.voltages(name, volts, QUAD_TRACE.times).T) * COUNTS_PER_VOLT
        assert np.abs(off).max() < 5.5 * QUAD_TRACE.noise + 0.5
    early = np.searchsorted(QUAD_TRACE.times, 4e-6)
    late = np.searchsorted(QUAD_TRACE.times, 60e-6)
    scraped, settled = traces[1, 1, early], traces[1, 1, late]  # the bottom plate
    assert scraped / settled == pytest.approx(17 / 24, abs=5 * 2 / 732)


def test_harp_gives_back_the_muons_on_each_fibre_and_turn() -> None:
    harps = fibre_harps()[:2]
    rng = np.random.default_rng(1)
    n, period = 4000, 149.1433e-9
    turn = rng.integers(0, 100, n)
    harp, fibre = rng.integers(0, 2, n).astype(np.int8), rng.integers(0, 7, n).astype(np.int8)
    time = (turn + harps[0].theta / (2 * math.pi)) * period + rng.normal(0.0, 20e-9, n)
    path = 0.5e-3 * np.sqrt(1 - rng.uniform(0, 1, n) ** 2)
    crossed = Crossings(np.arange(n), harp, fibre, turn, time, path)
    trace = harp_trace(20e-6)
    samples = harp_waveforms(crossed, harps, 0, trace, KEY, 31)
    mean = 0.25 * math.pi * 0.5e-3
    for h in range(2):
        signal = harp_signal(samples[7 * h : 7 * h + 7], harps[h], trace, period)
        for f in range(7):
            mine = (harp == h) & (fibre == f)
            muons = path[mine].sum() / mean
            light = muons * mean * LIGHT_PER_METRE
            size = trace.samples
            noise = 4.0 * math.sqrt(size + 1.57 * size**2 / 200) / HARP_RESPONSE.charge / (LIGHT_PER_METRE * mean)
            assert abs(signal.muons[f] - muons) < 5 * math.hypot(muons / math.sqrt(light), noise)
        seen = signal.by_turn.sum(axis=0)
        true = np.bincount(turn[harp == h], path[harp == h] / mean, 100)
        assert np.corrcoef(seen[:100], true)[0, 1] > 0.8
        np.testing.assert_allclose(signal.places, np.arange(-3, 4) * 0.013, atol=1e-15)


def test_traces_that_no_board_takes_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        Trace(0.0, 801)
    with pytest.raises(ValueError, match="0 < rise < fall"):
        Response(1.0, 5e-9, 5e-9)
