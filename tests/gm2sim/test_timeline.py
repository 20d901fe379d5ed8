"""Events of a run: counted without gaps whatever their type, in order of time, however the subruns are cut."""

import pytest

from gm2sim.config import load
from gm2sim.timeline import FillType, events, fill_time, muon_fills


@pytest.mark.parametrize(("laser", "pedestal"), [(0, 0), (4, 8), (1, 0), (3, 5), (1, 1)])
@pytest.mark.parametrize("subruns", [1, 3, 7])
def test_events_are_counted_without_gaps_through_all_subruns(laser: int, pedestal: int, subruns: int) -> None:
    changes = {"run.fills": 37, "run.subruns": subruns, "laser.fill_every": laser, "daq.pedestal_every": pedestal}
    config = load("gasgun", changes)
    found = [when for subrun in range(subruns) for when in events(config, subrun)]
    assert [when.serial for when in found] == list(range(len(found)))
    moments = [when.seconds + 1e-6 * when.microseconds for when in found]
    assert moments == sorted(moments)
    muons = [when for when in found if when.fill_type == FillType.MUONS]
    assert [when.fill for when in muons] == list(range(37))
    for kind, every in ((FillType.LASER, laser), (FillType.PEDESTAL, pedestal)):
        behind = [when.fill for when in found if when.fill_type == kind]
        assert behind == ([fill for fill in range(37) if (fill + 1) % every == 0] if every else [])


def test_other_fills_do_not_move_those_of_muons() -> None:
    many = load("gasgun", {"run.fills": 40, "laser.fill_every": 1, "daq.pedestal_every": 2})
    none = load("gasgun", {"run.fills": 40, "laser.fill_every": 0, "daq.pedestal_every": 0})
    for fill in range(40):
        one, other = fill_time(many, fill), fill_time(none, fill)
        assert (one.seconds, one.microseconds, one.sequence) == (other.seconds, other.microseconds, other.sequence)
        assert other.serial == fill
        assert one.serial == fill + fill + fill // 2


def test_sixteen_fills_make_a_supercycle() -> None:
    config = load("gasgun")
    assert [fill_time(config, fill).sequence for fill in range(18)] == [*range(16), 0, 1]
    first, later = fill_time(config, 3), fill_time(config, 3 + 16 * 5)
    assert later.since_begin - first.since_begin == pytest.approx(5 * 1.4)
    assert [muon_fills(config.with_(run__fills=5, run__subruns=2), k) for k in (0, 1)] == [range(3), range(3, 5)]
