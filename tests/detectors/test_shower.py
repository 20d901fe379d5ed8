import numpy as np
import pytest
from scipy.constants import speed_of_light
from scipy.special import gammainc

from detectors.shower import (
    CRYSTALS,
    ShowerSettings,
    deposit,
    gamma_in_layer,
    profile_in_depth,
    profile_in_radius,
    spread,
)
from tests.detectors.showers import KEY, PITCH, spread_hits, straight_hits

SETTINGS = ShowerSettings()
QUIET = ShowerSettings(light_fluctuation=0.0)


def test_layers_integrate_the_gamma_distribution():
    alpha, beta = 3.4, 0.55
    log_norm = alpha * np.log(beta) - float(np.log(2.981206426810332))  # Gamma(3.4)
    layers = [gamma_in_layer(k, alpha, beta, log_norm) for k in range(40)]
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
    light, _, leaked = spread(straight_hits(50, energy), KEY, QUIET)
    np.testing.assert_allclose(light.sum(axis=1) + leaked, energy, rtol=1e-12)
    assert (leaked > -1e-12).all()


def test_light_is_the_deposited_energy_on_average():
    n = 4000
    light, _, leaked = spread(straight_hits(n, 1.0), KEY, SETTINGS)
    # 0.72 of spread per spot over about 390 spots a shower, n showers; 4 standard deviations
    tolerance = 4 * 0.72 / np.sqrt(390 * n)
    assert (light.sum(axis=1) + leaked).mean() == pytest.approx(1.0, abs=tolerance)


@pytest.mark.parametrize("energy", [0.5, 2.0, 3.0])
def test_three_by_three_crystals_hold_more_than_nine_tenths_of_the_light(energy):
    light, _, _ = spread(straight_hits(500, energy), KEY, SETTINGS)
    rows = light.sum(axis=0).reshape(6, 9)
    share = rows[2:5, 3:6].sum() / rows.sum()
    assert 0.9 < share < 1.0
    assert rows[3, 4] / rows.sum() > 0.7


def test_a_little_light_leaks_out_of_the_back():
    _, _, leaked = spread(straight_hits(1000, 3.0), KEY, QUIET)
    # 15 X0 hold 95 to 98 % of 3 GeV for the mean profile of GP; deeper crystals hold it nearly all
    assert 0.02 < leaked.mean() / 3.0 < 0.06
    _, _, deep = spread(straight_hits(1000, 3.0), KEY, ShowerSettings(light_fluctuation=0.0, length=1.0))
    assert deep.mean() < leaked.mean() / 2


def test_shower_moved_by_one_crystal_lights_the_next_column():
    here, _, _ = spread(straight_hits(20, 1.5), KEY, SETTINGS)
    there, _, _ = spread(straight_hits(20, 1.5, u=PITCH), KEY, SETTINGS)
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
    light, depth, leaked = spread(hits, KEY, SETTINGS)
    other = type(hits)(*(column[order] for column in hits))
    light2, depth2, leaked2 = spread(other, KEY, SETTINGS)
    assert np.array_equal(light[order], light2)
    assert np.array_equal(depth[order], depth2)
    assert np.array_equal(leaked[order], leaked2)


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


def test_fluctuation_out_of_bounds_is_refused():
    with pytest.raises(ValueError, match=r"light_fluctuation = 1.5 is out of bounds"):
        ShowerSettings(light_fluctuation=1.5)
