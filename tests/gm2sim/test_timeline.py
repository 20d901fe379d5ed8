"""Events of a run: counted without gaps whatever their type, in order of time, however the subruns are cut."""

import pytest

from gm2sim.config import load
from gm2sim.timeline import FillType, events, fill_time, muon_fills, since_readout


@pytest.mark.parametrize(
    ("laser", "pedestal", "readout"), [(0, 0, 0), (4, 8, 16), (1, 0, 2), (3, 5, 7), (1, 1, 1), (0, 2, 1)]
)
@pytest.mark.parametrize("subruns", [1, 3, 7])
def test_events_are_counted_without_gaps_through_all_subruns(
    laser: int, pedestal: int, readout: int, subruns: int
) -> None:
    changes = {"run.fills": 37, "run.subruns": subruns, "laser.fill_every": laser, "daq.pedestal_every": pedestal,
               "daq.async_every": readout}  # fmt: skip
    config = load("gasgun", changes)
    found = [when for subrun in range(subruns) for when in events(config, subrun)]
    assert [when.serial for when in found] == list(range(len(found)))
    moments = [when.seconds + 1e-6 * when.microseconds for when in found]
    assert moments == sorted(moments)
    muons = [when for when in found if when.fill_type == FillType.MUONS]
    assert [when.fill for when in muons] == list(range(37))
    kinds = ((FillType.LASER, laser), (FillType.PEDESTAL, pedestal), (FillType.ASYNCHRONOUS, readout))
    for kind, every in kinds:
        behind = [when.fill for when in found if when.fill_type == kind]
        assert behind == ([fill for fill in range(37) if (fill + 1) % every == 0] if every else [])


def test_other_fills_do_not_move_those_of_muons() -> None:
    many = load("gasgun", {"run.fills": 40, "laser.fill_every": 1, "daq.pedestal_every": 2,
                           "daq.async_every": 5})  # fmt: skip
    none = load("gasgun", {"run.fills": 40, "laser.fill_every": 0, "daq.pedestal_every": 0,
                           "daq.async_every": 0})  # fmt: skip
    for fill in range(40):
        one, other = fill_time(many, fill), fill_time(none, fill)
        assert (one.seconds, one.microseconds, one.sequence) == (other.seconds, other.microseconds, other.sequence)
        assert other.serial == fill
        assert one.serial == fill + fill + fill // 2 + fill // 5


def test_boards_that_trigger_themselves_are_read_once_a_supercycle_and_with_a_laser_only() -> None:
    config = load("gasgun", {"run.fills": 40, "run.subruns": 1})
    found = [when for when in events(config, 0) if when.fill_type == FillType.ASYNCHRONOUS]
    assert [when.fill for when in found] == [15, 31]
    assert since_readout(config, found[0]) == pytest.approx(found[0].since_begin)
    assert since_readout(config, found[1]) == pytest.approx(1.4)
    dark = config.with_(laser__sync=False, laser__in_fill_every=0, laser__fill_every=0)
    assert all(when.fill_type != FillType.ASYNCHRONOUS for when in events(dark, 0))


def test_sixteen_fills_make_a_supercycle() -> None:
    config = load("gasgun")
    assert [fill_time(config, fill).sequence for fill in range(18)] == [*range(16), 0, 1]
    first, later = fill_time(config, 3), fill_time(config, 3 + 16 * 5)
    assert later.since_begin - first.since_begin == pytest.approx(5 * 1.4)
    assert [muon_fills(config.with_(run__fills=5, run__subruns=2), k) for k in (0, 1)] == [range(3), range(3, 5)]
