from dataclasses import replace

import numpy as np
import pytest
from scipy.constants import speed_of_light
from scipy.special import gammainc

from detectors.shower import CRYSTALS, Leakage, ShowerSettings, deposit, spread
from detectors.shower_profile import gammas_in_layer, profile_in_depth, profile_in_radius, track_in_layer
from tests.detectors.showers import KEY, PITCH, spread_hits, straight_hits

SETTINGS = ShowerSettings()
# Light is energy: no fluctuation from spot to spot, no attenuation.
QUIET = ShowerSettings(light_fluctuation=0.0, attenuation_length=0.0)


def lost(leakage: Leakage) -> np.ndarray:
    """Energy that leaves the crystals."""
    return leakage.front + leakage.rear + leakage.side


def test_layers_integrate_the_gamma_distribution():
    alpha, beta = 3.4, 0.55
    log_norm = alpha * np.log(beta) - float(np.log(2.981206426810332))  # Gamma(3.4)
    layers = [gammas_in_layer(k, (alpha, beta, log_norm), (alpha, 2.0 * beta, log_norm))[0] for k in range(40)]
    edges = gammainc(alpha, beta * 0.5 * np.arange(41))
    # three Gauss points are of sixth order; worst in the first layer, where t^2.4 has no third derivative
    np.testing.assert_allclose(layers, np.diff(edges), atol=2e-6)


def test_shower_maximum_lies_where_grindhammer_and_peters_have_it():
    ln_y = np.log(2.0 / SETTINGS.critical_energy)
    alpha, beta, maximum, _ = profile_in_depth(ln_y, SETTINGS.z_effective, 0.0, 0.0)
    assert maximum == pytest.approx(ln_y - 0.812, rel=1e-12)
    assert alpha == pytest.approx(0.81 + (0.458 + 2.26 / SETTINGS.z_effective) * ln_y, rel=1e-12)
    assert (alpha - 1.0) / beta == pytest.approx(maximum, rel=1e-12)


def test_showers_grow_wider_with_depth():
    widths = [profile_in_radius(tau, np.log(2.0), SETTINGS.z_effective) for tau in (0.5, 1.0, 1.5, 2.0)]
    cores, _, weights = np.array(widths).T
    assert (np.diff(cores) > 0).all()
    assert ((weights > 0) & (weights < 1)).all()


@pytest.mark.parametrize("energy", [0.01, 0.1, 1.0, 3.1])
def test_light_and_leakage_add_up_to_the_energy(energy):
    hits = straight_hits(50, energy)
    light, _, leakage = spread(hits._replace(order=np.arange(50) % 2), KEY, QUIET)
    np.testing.assert_allclose(light.sum(axis=1) + lost(leakage), energy, rtol=1e-12)
    assert all((part >= 0.0).all() for part in leakage)
    assert (leakage.albedo <= 0.1 * energy).all()


def test_light_is_the_deposited_energy_on_average():
    n = 4000
    settings = ShowerSettings(attenuation_length=0.0)
    light, _, leakage = spread(straight_hits(n, 1.0), KEY, settings)
    # 0.66 of spread per spot over about 390 spots a shower, n showers; 4 standard deviations
    tolerance = 4 * 0.66 / np.sqrt(390 * n)
    assert (light.sum(axis=1) + lost(leakage)).mean() == pytest.approx(1.0, abs=tolerance)


@pytest.mark.parametrize("energy", [0.5, 2.0, 3.0])
def test_three_by_three_crystals_hold_more_than_nine_tenths_of_the_light(energy):
    light, _, _ = spread(straight_hits(500, energy), KEY, SETTINGS)
    rows = light.sum(axis=0).reshape(6, 9)
    share = rows[2:5, 3:6].sum() / rows.sum()
    assert 0.9 < share < 1.0
    assert rows[3, 4] / rows.sum() > 0.7


def test_a_little_light_leaks_out_of_the_back():
    _, _, leakage = spread(straight_hits(1000, 3.0), KEY, QUIET)
    # What 15 X0 do not hold of the mean profile of GP; the fluctuating ones leak a little more.
    assert leakage.rear.mean() / 3.0 == pytest.approx(1.0 - QUIET.seen(3.0), rel=0.25)
    _, _, deep = spread(straight_hits(1000, 3.0), KEY, replace(QUIET, length=1.0))
    assert deep.rear.mean() < leakage.rear.mean() / 4


def test_shower_moved_by_one_crystal_lights_the_next_column():
    settings = ShowerSettings(albedo=0.0)
    here, _, _ = spread(straight_hits(20, 1.5), KEY, settings)
    there, _, _ = spread(straight_hits(20, 1.5, u=PITCH), KEY, settings)
    here, there = here.reshape(20, 6, 9), there.reshape(20, 6, 9)
    # rounding moves a spot on the very edge of a crystal across it with a chance of 1e-13
    np.testing.assert_allclose(there[:, :, 1:], here[:, :, :-1], atol=1e-12)


@pytest.mark.parametrize(("column", "row", "crystal"), [(-4, -2.5, 0), (4, -2.5, 8), (-4, 2.5, 45), (4, 2.5, 53)])
def test_crystals_are_numbered_from_the_inner_bottom_corner(column, row, crystal):
    hits = straight_hits(5, 1.0, u=column * SETTINGS.pitch_u, v=row * SETTINGS.pitch_v)
    light, _, _ = spread(hits, KEY, SETTINGS)
    assert light.sum(axis=0).argmax() == crystal


def test_tilted_shower_moves_sideways_with_depth():
    hits = straight_hits(2000, 2.0)
    tilted = hits._replace(du=np.full(2000, 0.3))
    centre = (np.arange(CRYSTALS) % 9 - 4) * SETTINGS.pitch_u
    light, depth, _ = spread(tilted, KEY, QUIET)
    moved = (light.sum(axis=0) * centre).sum() / light.sum()
    # the axis has u = 0.3 depth; a row of crystals reads a flat distribution to a few mm
    assert moved == pytest.approx(0.3 * depth.sum() / light.sum(), abs=0.004)


def test_positron_beside_the_array_leaves_no_light():
    deposits = deposit(straight_hits(3, 1.0, u=3.0), KEY)
    assert deposits.energy.sum() < 1e-3


def test_deposits_do_not_depend_on_the_order_of_the_hits():
    hits = spread_hits(200, 3, (0.0, 1e-4))
    order = np.random.default_rng(0).permutation(200)
    hits = hits._replace(order=np.arange(200) % 3, depth=np.arange(200) % 4 * 0.03)
    light, depth, leaked = spread(hits, KEY, SETTINGS)
    other = type(hits)(*(column[order] for column in hits))
    light2, depth2, leaked2 = spread(other, KEY, SETTINGS)
    assert np.array_equal(light[order], light2)
    assert np.array_equal(depth[order], depth2)
    assert all(np.array_equal(a[order], b) for a, b in zip(leaked, leaked2, strict=True))


def test_another_fill_has_other_showers():
    light, _, _ = spread(straight_hits(3, 1.0), KEY, SETTINGS)
    other, _, _ = spread(straight_hits(3, 1.0), KEY._replace(fill=4), SETTINGS)
    assert not np.array_equal(light, other)


def test_light_from_deeper_in_the_crystal_comes_first():
    hits = straight_hits(200, 2.0)
    deposits = deposit(hits, KEY)
    depth = -deposits.time * speed_of_light / (SETTINGS.refractive_index - 1.0)
    assert ((depth > 0) & (depth < SETTINGS.length)).all()
    main = deposits.energy > 1.0
    assert depth[main].mean() == pytest.approx(0.058, abs=0.01)  # maximum at 4.6 X0 and a tail behind it


def test_no_hits_give_no_deposits():
    assert len(deposit(straight_hits(0, 1.0), KEY).energy) == 0


@pytest.mark.parametrize("energy", [0.02, 0.03, 0.05, 0.1, 0.5, 2.0])
def test_light_is_linear_down_to_20_mev_within_its_fluctuation(energy):
    n = 2000
    light, _, leakage = spread(straight_hits(n, energy), KEY, QUIET)
    share = light.sum(axis=1) / energy
    # 0 to 5 % leak, the rest is light, whether the positron showers or ionises: far inside sqrt(4.5 %^2/E).
    assert share.mean() == pytest.approx(0.975, abs=0.025)
    assert leakage.side.mean() < 0.012 * energy


def test_soft_positron_lights_its_own_track():
    # 20 MeV are 2.4 critical energies: so many radiation lengths, the mean depth half of that.
    assert sum(track_in_layer(k, 2.4) for k in range(40)) == pytest.approx(1.0, rel=1e-12)
    settings = replace(QUIET, albedo=0.0)
    light, depth, _ = spread(straight_hits(500, 0.02), KEY, settings)
    reach = 0.02 / settings.critical_energy * settings.radiation_length
    # Light of the last layer, 15 % of all, is spread over all of it: 0.07 X0 too deep.
    assert depth.sum() / light.sum() == pytest.approx(0.5 * reach, rel=0.015)


def test_photons_convert_after_nine_sevenths_of_a_radiation_length():
    n = 4000
    settings = replace(QUIET, albedo=0.0, length=1.0)  # all convert, nothing leaks behind
    hits = straight_hits(n, 2.0)
    light, depth, _ = spread(hits, KEY, settings)
    light_of_photon, depth_of_photon, _ = spread(hits._replace(order=np.ones(n, np.int64)), KEY, settings)
    mean = 9.0 / 7.0 * settings.radiation_length
    later = depth_of_photon.sum() / light_of_photon.sum() - depth.sum() / light.sum()
    # Exponential: its spread is its mean; the depth of a shower spreads by 1 X0, two samples.
    assert later == pytest.approx(mean, abs=4.0 * mean * np.sqrt((1.0 + 2.0) / n))


def test_photons_that_do_not_convert_leave_no_light():
    n = 20_000
    thin = replace(QUIET, albedo=0.0, length=0.0186)  # two radiation lengths
    hits = straight_hits(n, 0.5)._replace(order=np.full(n, 3, np.int64))
    light, _, leakage = spread(hits, KEY, thin)
    passed = leakage.rear >= 0.5
    assert not light[passed].any()
    expected = np.exp(-2.0 * 7.0 / 9.0)
    assert passed.mean() == pytest.approx(expected, abs=4.0 * np.sqrt(expected / n))
    beside = hits._replace(u=np.full(n, 0.110), du=np.full(n, 1.0))  # 3.2 mm to the side of the array
    _, _, leakage = spread(beside, KEY, QUIET)
    expected = np.exp(-0.0032 * np.sqrt(2.0) / 0.0093 * 7.0 / 9.0)
    assert (leakage.side >= 0.5).mean() == pytest.approx(expected, abs=4.0 * np.sqrt(0.25 / n))


def test_a_photon_changes_nothing_of_its_positron():
    hits = straight_hits(30, 1.0)
    both = type(hits)(*(np.concatenate([column, column]) for column in hits))
    both = both._replace(order=np.repeat([0, 1], 30))
    alone, _, _ = spread(hits, KEY, SETTINGS)
    together, _, _ = spread(both, KEY, SETTINGS)
    assert np.array_equal(together[:30], alone)
    assert not np.array_equal(together[30:], alone)


def test_shower_through_the_side_begins_where_the_particle_enters():
    n, edge = 1500, 4.5 * PITCH
    hits = straight_hits(n, 2.0, u=edge)._replace(du=np.full(n, -1.0), depth=np.full(n, 0.05))
    light, depth, _ = spread(hits, KEY, QUIET)
    # On a slope of 1 the axis is as deep behind its entry as it has gone inwards: a row of crystals reads that to mm.
    centre = (np.arange(CRYSTALS) % 9 - 4) * SETTINGS.pitch_u
    inwards = edge - (light * centre).sum() / light.sum()
    behind = depth.sum() / light.sum() - 0.05
    assert inwards == pytest.approx(behind, abs=0.004)
    assert behind == pytest.approx(SETTINGS.centre / np.sqrt(2.0), rel=0.15)
    outside = straight_hits(3, 1.0)._replace(depth=np.full(3, 0.145))
    assert not spread(outside, KEY, replace(QUIET, albedo=0.0))[0].any()


def test_albedo_lights_crystals_far_away_and_moves_no_other_number():
    n = 3000
    hits = straight_hits(n, 3.0)
    far = np.array([0, 8, 45, 53])
    settings = replace(QUIET, albedo=0.01)
    light, _, leakage = spread(hits, KEY, settings)
    without, _, before = spread(hits, KEY, replace(QUIET, albedo=0.0))
    assert not before.albedo.any()
    # 15 photons of 2 MeV each, exponential: mean and spread; a share falls beside the array, out of the front.
    sent = leakage.albedo + leakage.front - before.front
    assert sent.mean() == pytest.approx(0.030, abs=4.0 * 0.002 * np.sqrt(2.0 * 15.0 / n))
    # Corners: the density of a cosine law from 70 mm; 500 photons reach them.
    x, y = (far % 9 - 4) * PITCH, (far // 9 - 2.5) * SETTINGS.pitch_v - hits.v[0]
    share = PITCH * SETTINGS.pitch_v * 0.070**2 / (np.pi * (x**2 + y**2 + 0.070**2) ** 2)
    more = (light[:, far] - without[:, far]).mean()
    assert more == pytest.approx(0.030 * share.mean(), rel=4.0 * np.sqrt(2.0 / 500))
    # The shower itself has the same spots, each with a little less energy.
    left = (3.0 - sent) / 3.0
    np.testing.assert_allclose(leakage.rear, before.rear * left, rtol=1e-6, atol=0.01)
    middle = 31
    assert np.median(light[:, middle] / without[:, middle]) == pytest.approx(0.99, abs=0.003)


def test_light_is_attenuated_on_its_way_to_the_sensor():
    n = 300
    hits = straight_hits(n, 2.0)
    flat = replace(QUIET, albedo=0.0, profile_fluctuation=0.0)
    light, _, _ = spread(hits, KEY, flat)
    seen, _, _ = spread(hits, KEY, replace(flat, attenuation_length=0.5))
    # Normalised to the depth of this very shower: what is left is the curvature, <(d - centre)^2>/2 lambda^2.
    assert seen.sum() / light.sum() == pytest.approx(1.0 + 0.5 * (0.029 / 0.5) ** 2, abs=1e-3)
    # The closed form, of the whole shower: the tails that leave through the sides are a half percent.
    for energy in (0.5, 2.0, 3.1):
        for length in (0.0, 0.5):
            settings = replace(flat, attenuation_length=length)
            some, _, leakage = spread(straight_hits(n, energy), KEY, settings)
            whole = (some.sum() + (leakage.side + leakage.front).sum()) / (n * energy)
            assert whole == pytest.approx(settings.seen(energy), abs=2e-3)


def test_crosstalk_shares_light_among_neighbours_and_keeps_the_sum():
    hits = straight_hits(50, 2.0)
    light, depth, _ = spread(hits, KEY, SETTINGS)
    shared, shared_depth, _ = spread(hits, KEY, replace(SETTINGS, crosstalk=0.01))
    np.testing.assert_allclose(shared.sum(axis=1), light.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(shared_depth.sum(axis=1), depth.sum(axis=1), rtol=1e-12)
    # A crystal gives a percent to each of four neighbours and gets theirs; terms of second order are left out.
    rows, other = light.reshape(50, 6, 9), shared.reshape(50, 6, 9)
    around = rows[:, 2, 4] + rows[:, 4, 4] + rows[:, 3, 3] + rows[:, 3, 5]
    np.testing.assert_allclose(other[:, 3, 4], 0.96 * rows[:, 3, 4] + 0.01 * around, atol=1e-3 * 2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"light_fluctuation": 1.5}, "light_fluctuation = 1.5 is out of bounds: give 0 to 1"),
        ({"pitch_u": 0.0}, "pitch_u = 0.0 is out of bounds: give 0.001 to 1 m"),
        ({"length": float("nan")}, "length = nan is out of bounds"),
        ({"attenuation_length": -1.0}, "attenuation_length = -1.0 is out of bounds: give 0 m or more"),
        ({"attenuation_length": 0.1}, "shorter than the crystals"),
    ],
)
def test_settings_out_of_bounds_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ShowerSettings(**change)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("u", np.nan, "hit 1 has u = nan, which cannot be: give a number"),
        ("calo", 24, "hit 1 has calo = 24, which cannot be: give 0 to 23"),
        ("energy", -0.5, "hit 1 has energy = -0.5, which cannot be: give a positive number"),
        ("depth", -0.01, "hit 1 has depth = -0.01, which cannot be: give 0 or more"),
        ("order", 5000, "hit 1 has order = 5000, which cannot be: give 0 to 1023"),
    ],
)
def test_hits_that_cannot_be_are_refused(column, value, message):
    hits = straight_hits(3, 1.0)
    wrong = getattr(hits, column).copy()
    wrong[1] = value
    with pytest.raises(ValueError, match=message):
        deposit(hits._replace(**{column: wrong}), KEY)
