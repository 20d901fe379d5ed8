"""The forecast of a campaign against limits that can be written down, and at the size that is wanted."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.forecast import Assumed, Forecast, Simulation, forecast, shown_forecast
from gm2sim.campaign.plan import Plan
from gm2sim.campaign.trial import Cost
from gm2sim.errors import ConfigError

QUIET = Assumed(nodes=4, ranks=2, failures=0.0, preemptions=0.0, queue_s=0.0, requeue_s=0.0, look_s=1e-3)
HOUR = 3600.0


def follow(assumed: Assumed, shards: int, fills: float) -> Forecast:
    found = Forecast()
    Simulation(assumed, np.full(shards, fills), found).follow()
    return found


@pytest.mark.parametrize("shards", [1, 7, 8, 9, 24, 25, 100])
def test_without_failures_equal_shards_take_their_waves(shards: int) -> None:
    found = follow(replace(QUIET, fill_s=10.0), shards, 6.0)
    waves = math.ceil(shards / (QUIET.nodes * QUIET.ranks))
    assert found.wall * HOUR == pytest.approx(waves * 60.0, rel=1e-12)
    assert found.useful * HOUR == pytest.approx(shards * 60.0 / QUIET.ranks, rel=1e-12)
    assert (found.failures, found.lost, found.started) == (0, 0.0, 0.0)


def test_without_failures_starts_and_tables_are_paid_once_an_element_and_rank() -> None:
    found = follow(replace(QUIET, fill_s=10.0, start_s=5.0, setup_s=3.0), 80, 6.0)
    assert found.wall * HOUR == pytest.approx(5.0 + 3.0 + 10 * 60.0)
    assert found.started * HOUR == pytest.approx(QUIET.nodes * 8.0)
    assert found.efficiency == pytest.approx(600.0 / 608.0)


def test_a_shard_that_starts_anew_takes_the_known_time() -> None:
    # Of one indivisible piece of length t at a failure rate r: (exp(r t) - 1) / r on average.
    pieces, rate, t = 4000, 1.0, 2000.0
    one = replace(QUIET, nodes=pieces, ranks=1, fill_s=t, failures=rate, longest_array=pieces)
    found = follow(one, pieces, 1.0)
    per_second = rate / HOUR
    expected = math.expm1(per_second * t) / per_second
    # The variance of the number of tries, and of each that failed, is below that of an exponential time.
    assert found.used * HOUR / pieces == pytest.approx(expected, abs=5.0 * expected / math.sqrt(pieces))
    assert found.used == pytest.approx(found.useful + found.lost)


def test_with_checkpoints_a_failure_loses_half_a_fill_of_each_rank_on_average() -> None:
    # Elements of equal shards: all ranks are at work until the end, so that every failure meets all of them.
    one = replace(QUIET, nodes=50, ranks=8, fill_s=30.0, failures=2.0, job_s=math.inf)
    found = follow(one, 50 * 8, 600.0)
    failures = 2.0 * found.used
    assert abs(found.failures - failures) < 5.0 * math.sqrt(failures)
    # Ranks of a node are in step until its first failure: the numbers of one failure are the same, not independent.
    lost, scatter = found.failures * 15.0, math.sqrt(found.failures) * 30.0 / math.sqrt(12.0)
    assert abs(found.lost * HOUR - lost) < 5.0 * scatter


def test_who_is_preempted_or_at_the_end_of_its_time_loses_no_fill() -> None:
    one = replace(QUIET, fill_s=30.0, preemptions=3.0, job_s=1000.0, requeue_s=120.0)
    found = follow(one, 64, 50.0)
    assert found.preemptions > 0
    assert found.left > 0
    assert found.lost == 0.0
    assert found.used >= found.useful


def test_the_same_seed_gives_the_same_forecast_and_another_one_another() -> None:
    one = replace(QUIET, fill_s=30.0, failures=1.0, spread=0.1)
    first, again, other = (follow(replace(one, seed=seed), 200, 20.0) for seed in (1, 1, 2))
    assert first == again
    assert first.used != other.used


def test_times_scatter_as_they_are_told_to_around_the_same_mean() -> None:
    n = 20_000
    found = follow(replace(QUIET, nodes=10, fill_s=10.0, spread=0.2), n, 6.0)
    mean = found.useful * HOUR * QUIET.ranks / n
    assert mean == pytest.approx(60.0, abs=5.0 * 0.2 * 60.0 / math.sqrt(n))


def test_a_forecast_that_would_never_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="failures come faster than shards get done"):
        follow(replace(QUIET, nodes=1, ranks=1, fill_s=1e4, failures=1e6, look_s=1e-9), 1, 1.0)


def test_ten_billion_muons_on_512_nodes_are_made_at_more_than_90_percent(plan: Callable[..., Campaign]) -> None:
    # Times of run1a on one core of the slow machine B: a fill of 5000 muons, rounded; the start is rounded up.
    campaign = plan(
        nodes=512, stage=[{"name": "raw", "kind": "simulate", "time": "04:00:00"}],
        runs=[{"first_run": 1, "runs": 100, "fills": 20_000, "subruns": 5000}],
    )  # fmt: skip
    cost = Cost(setup=4.0, each=1.0, per_fill=14.5, spread=0.05, shards=8)
    told = Plan("first", "", "local", muons=1e10, ranks=128, costs={"raw": cost}, start_s=20.0, leave_s=300)
    found = forecast(campaign, told, failures=0.01, preemptions=0.05)
    assert found.shards == 500_000
    assert found.efficiency > 0.90
    assert found.useful == pytest.approx(500_000 * (1.0 + 4 * 14.5) / 128 / HOUR, rel=0.001)
    rows = dict(shown_forecast(found))
    assert rows["efficiency"] == f"{100 * found.efficiency:.1f} %"
    assert "0.01 failures" in rows["assumed for raw"]
    assert found.record()["simulated"]
