"""Flags of fills by thousands: what was put in is found, and good fills stay good."""

from collections.abc import Callable

import numpy as np
import pytest
from sqlalchemy import select

from detectors.field_traces import COUNTS_PER_TESLA, COUNTS_PER_VOLT, KICKER_TRACE, QUAD_TRACE
from fields.spark import Spark
from gm2sim.config import Config, ConfigError, load
from gm2sim.database import DatabaseError, opened
from gm2sim.faults import FillFaults, faults_of
from gm2sim.injection import kickers, voltage_program
from gm2sim.machine import layout, quad_settings
from gm2sim.quality import BAD_FOR_POSITRONS, BAD_FOR_TRACKS, Assessment, Flag, assess_events, live_fractions
from gm2sim.quality.book import bad_events, read_rows, write_rows
from gm2sim.quality.flags import MEANING
from gm2sim.quality.measure import HV_GROUPS, KICKERS, Measures
from gm2sim.quality.status import rows_of
from gm2sim.quality.tables import FILL_FLAGS, METADATA
from gm2sim.quality.traces import Channels, kick_of, plate_means, plate_times
from gm2sim.timeline import FillType
from gpu.rng import FillKey

FILLS = 2000
FAULTS = {
    "faults.quad_spark": 0.02, "faults.missing_kick": 0.02, "faults.dead_crate": 0.02, "faults.laser_off": 0.02,
    "faults.weak_kick": 0.02, "faults.tracker_trip": 0.004, "faults.tracker_trip_fills": 5,
}  # fmt: skip
KICK = Channels(("K1", "K2", "K3"), KICKER_TRACE.start, KICKER_TRACE.period, 0.0, np.full(3, 1.0 / COUNTS_PER_TESLA),
                KICKER_TRACE.samples)  # fmt: skip
QUAD = Channels(("",) * 32, QUAD_TRACE.start, QUAD_TRACE.period, 0.0, np.full(32, 1.0 / COUNTS_PER_VOLT),
                QUAD_TRACE.samples)  # fmt: skip


class Traces:
    """Traces of crates 29 and 30 with noise from numpy: the shapes of the simulation at a tenth of its time."""

    def __init__(self, config: Config) -> None:
        ring = layout(config)
        self._field = COUNTS_PER_TESLA * kickers(config, ring).fields(KICKER_TRACE.times)
        quads, program = quad_settings(config), voltage_program(config)
        nominal = {quad.name: np.asarray(quads.plate_voltages(quad.name)) for quad in ring.quads}
        times = QUAD_TRACE.times
        volts = np.concatenate([program.voltages(name, one, times).T for name, one in nominal.items()])
        self._counts = COUNTS_PER_VOLT * volts
        self._rng = np.random.default_rng(3)

    def _sampled(self, signal: np.ndarray) -> np.ndarray:
        return np.rint(signal + 2.0 * self._rng.standard_normal(signal.shape, np.float32)).astype(np.int16)

    def kick(self, factor: float) -> np.ndarray:
        values = KICK.values(self._sampled(factor * self._field))
        return np.array([kick_of(one, KICK) for one in values])

    def plates(self, spark: float | None) -> np.ndarray:
        left = 1.0 if spark is None else Spark(spark).factor(QUAD_TRACE.times)
        return plate_means(QUAD.values(self._sampled(left * self._counts)))


def measures(faults: list[FillFaults], traces: Traces) -> Measures:
    """Measurements of fills in which these things have gone wrong: all else as Poisson's numbers have it."""
    n, rng = len(faults), np.random.default_rng(7)
    stored = np.array([0.0 if one.kick == 0.0 else min((one.spark or 7e-4) / 1e-4, 1.0) for one in faults])
    voltage = np.ones((n, 2, HV_GROUPS), np.bool_)
    straws = rng.poisson(90 + 800 * stored[:, None], (n, 2))
    crates = np.ones((n, 24), np.bool_)
    for k, one in enumerate(faults):
        crates[k, [crate - 1 for crate in one.dead]] = False
        straws[k, list(one.tripped)] = 0
        voltage[k, list(one.tripped)] = False
    dark = np.array([one.dark for one in faults])
    return Measures(
        run=np.full(n, 7), subrun=np.arange(n) * 4 // n, event=np.arange(n), fill_type=np.full(n, FillType.MUONS),
        time=1_500_000_000 + np.arange(n) // 12, bunch=np.arange(n) % 16,
        kick=np.array([traces.kick(one.kick) for one in faults]),
        plates=np.array([traces.plates(one.spark) for one in faults]),
        crates=crates, monitors=np.ones((n, 9), np.bool_),
        pedestals=rng.normal(1750.0, 0.1, (n, 24)).astype(np.float32),
        ctags=rng.poisson(70 * stored), islands=rng.poisson(50 + 1500 * stored), triples=rng.poisson(1.5 * stored),
        t0=rng.normal(0.0, 1e-9, n), t0_area=rng.normal(1e5, 2e3, n),
        laser=np.where(dark[:, None], 0.0, rng.normal(1.0, 0.01, (n, 6))), straws=straws, voltage=voltage,
        field=rng.normal(0.0, 0.02, n),
    )  # fmt: skip


@pytest.fixture(scope="module")
def run() -> tuple[list[FillFaults], Assessment]:
    config = load("run1a", FAULTS | {"beam.source": "injected"})
    faults = [faults_of(config, FillKey(2, 7, 0, fill)) for fill in range(FILLS)]
    return faults, assess_events(measures(faults, Traces(config)), plate_times(QUAD))


CASES: dict[str, tuple[Flag, Callable[[FillFaults], bool]]] = {
    "quad sparks": (Flag.QUADS, lambda one: one.spark is not None),
    "missing kicks": (Flag.KICK, lambda one: one.kick == 0.0),
    "weak kicks": (Flag.KICK, lambda one: 0.0 < one.kick < 1.0),
    "dead crates": (Flag.CRATES, lambda one: bool(one.dead)),
    "tracker trips": (Flag.TRACKERS, lambda one: bool(one.tripped) and one.kick > 0.0),
    "dark laser": (Flag.LASER, lambda one: one.dark),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fault_in_fifty_fills_is_flagged(run: tuple[list[FillFaults], Assessment], case: str) -> None:
    faults, found = run
    flags = found.flags
    flag, has = CASES[case]
    put_in = np.array([has(one) for one in faults])
    assert put_in.sum() > 15
    assert ((flags[put_in] & flag) != 0).mean() >= 0.99
    others = {"missing kicks": "weak kicks", "weak kicks": "missing kicks"}.get(case)
    clean = ~put_in & ~np.array([others is not None and CASES[others][1](one) for one in faults])
    assert ((flags[clean] & flag) != 0).mean() < 0.001


def test_good_fills_are_not_flagged_at_all(run: tuple[list[FillFaults], Assessment]) -> None:
    faults, found = run
    flags = found.flags
    good = np.array([one == FillFaults() for one in faults])
    assert (flags[good] != 0).mean() < 0.001


@pytest.mark.parametrize("fills", [2, 3, 5])
def test_one_spark_in_a_few_fills_is_told_from_the_others(fills: int) -> None:
    config = load("run1a", {"beam.source": "injected"})
    faults = [FillFaults(spark=3e-4), *[FillFaults()] * (fills - 1)]
    flags = assess_events(measures(faults, Traces(config)), plate_times(QUAD)).flags
    assert (flags & Flag.QUADS).astype(bool).tolist() == [True] + [False] * (fills - 1)


def test_the_first_zero_and_the_width_of_a_kick_are_those_of_its_shape() -> None:
    trace = np.zeros(3200)
    at = KICK.start + KICK.period * np.arange(3200)
    trace += 0.02 * np.exp(-0.5 * ((at - 50e-9) / 40e-9) ** 2) - 0.004 * np.exp(-0.5 * ((at - 300e-9) / 60e-9) ** 2)
    peak, middle, width, zero = kick_of(trace, KICK)
    assert peak == pytest.approx(0.02, rel=1e-3)
    assert middle == pytest.approx(50e-9, abs=1.25e-9)
    assert width == pytest.approx(2 * np.sqrt(2 * np.log(2)) * 40e-9, rel=0.01)
    assert 150e-9 < zero < 250e-9
    assert kick_of(np.zeros(3200), KICK)[0] == 0.0


def test_the_live_fraction_counts_each_fill_once_and_multiplies_to_what_is_left() -> None:
    flags = np.array([0, Flag.KICK, Flag.KICK | Flag.QUADS, Flag.QUADS, 0, Flag.KICK])
    rows = live_fractions([1, 1, 1, 1, 1, 2], flags, [10, 0, 0, 5, 10, 99])
    assert len(rows) == 1 + len(MEANING)
    kick, quads = rows[1], rows[2]
    assert (kick.failing, kick.kept, quads.failing, quads.kept) == (2, 3, 2, 2)
    assert rows[-1].live == pytest.approx(0.4)
    assert rows[-1].muons == pytest.approx(20 / 25)


def test_a_book_gives_back_what_was_written_and_is_the_same_after_twice(
    database: str, run: tuple[list[FillFaults], Assessment]
) -> None:
    found = run[1]
    rows = rows_of(found)
    write_rows(database, rows)
    once = read_rows(database, 7)
    write_rows(database, rows)
    twice = read_rows(database, 7)
    for name, table in once.items():
        strip = [{key: value for key, value in row.items() if key != "id"} for row in table]
        assert strip == [{key: value for key, value in row.items() if key != "id"} for row in twice[name]]
        assert strip == rows[name]
    assert len(once["subrun_time"]) == len(once["subrun_status"]) == 4
    assert once["subrun_time"][0]["start_gps"] == 1_500_000_000 - 315_964_800 + 18
    assert sum(row["fills"] for row in once["ctagswithdqc"]) == found.good.sum()
    assert all(len(row["hv_status"]) == 64 for row in once["tracker_hv"])
    assert all(row["quad_ok"] and row["ctags_repeat_ok"] and row["fillcuts_ok"] for row in once["subrun_status"])
    bad = bad_events(database, 7, range(4))
    assert bad == {int(one) for one in np.flatnonzero(~found.good)}
    assert bad_events(database, 7, [0], BAD_FOR_TRACKS) != bad
    with pytest.raises(ConfigError, match="no data quality of run 7 subrun 4"):
        bad_events(database, 7, range(5))


def test_tables_are_what_the_migration_makes(database: str) -> None:
    write_rows(database, {table: [] for table in METADATA.tables})
    with opened(database) as engine, engine.connect() as connection:
        for table in METADATA.tables.values():
            assert connection.execute(select(table)).all() == []
    with pytest.raises(DatabaseError):
        read_rows(database + "x" if "://" not in database else database.replace("/test", "/no"))


def test_flags_keep_their_numbers_and_every_one_is_explained() -> None:
    assert [int(flag) for flag in Flag] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert set(MEANING) == set(Flag)
    assert not BAD_FOR_POSITRONS & Flag.TRACKERS
    assert BAD_FOR_POSITRONS & Flag.QUADS
    assert len(KICK.names) == KICKERS
    assert FILL_FLAGS.name == "fill_flags"
