"""Many processes at work on one list of tasks: ranks of MPI, who takes what, signals to leave, stuck ranks."""

from gm2sim.farm.ranks import Ranks, ranks
from gm2sim.farm.stop import CONTINUE, LeftError, Stop
from gm2sim.farm.work import GRACE_S, STALL_S, Farm, StuckError, Watch

__all__ = ["CONTINUE", "GRACE_S", "STALL_S", "Farm", "LeftError", "Ranks", "Stop", "StuckError", "Watch", "ranks"]
