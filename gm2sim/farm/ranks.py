"""Ranks of an MPI job, or one rank when there is no MPI."""

import os
from dataclasses import dataclass
from typing import Any

from gm2sim import together
from gm2sim.errors import ConfigError

# What the common launchers tell each process about the size of its job.
_SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_STEP = "SLURM_STEP_NUM_TASKS"  # inside srun, whichever MPI; one task may be a shell that a person types in


@dataclass(frozen=True)
class Ranks:
    """This process among those of the job.

    Attributes
    ----------
    rank, size : int
    local_rank, local_size : int
        The same among the ranks of this node, which share its cores and GPUs.
    communicator : mpi4py communicator or None
        None in a serial run.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    communicator: Any = None

    def gather(self, item: Any) -> list[Any]:
        """The items of all ranks in rank order on rank 0, an empty list elsewhere."""
        if self.communicator is None:
            return [item]
        return self.communicator.gather(item, root=0) or []

    def broadcast(self, item: Any) -> Any:
        """Rank 0's item on every rank."""
        return item if self.communicator is None else self.communicator.bcast(item, root=0)

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        if self.communicator is not None:
            self.communicator.Barrier()

    def share(self, items: list[Any]) -> list[Any]:
        """Every ``size``-th item, beginning at this rank: no item on two ranks, none left out."""
        return items[self.rank :: self.size]

    def abort(self, code: int) -> None:
        """End every rank of the job with ``code``; returns only in a serial run."""
        if self.communicator is not None and self.size > 1:
            self.communicator.Abort(code)


def launched() -> int:
    """Processes that an MPI launcher says it has started together; 1 without one."""
    return max(int(os.environ.get(name, "1") or 1) for name in (*_SIZE_VARIABLES, _STEP))


def ranks() -> Ranks:
    """Find out whether an MPI launcher started this process, and as which rank.

    Raises
    ------
    ConfigError
        A launcher started several processes but MPI for Python cannot be used: without this check each
        process would do the whole job and write the same files.
    """
    together.part()  # from here on each rank is a process of its own
    started = launched()
    if started == 1 and not any(name in os.environ for name in _SIZE_VARIABLES):
        return Ranks()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as err:
        if started == 1:
            return Ranks()
        reason = "mpi4py is not installed" if isinstance(err, ImportError) else "mpi4py finds no MPI library"
        raise ConfigError(
            f"an MPI launcher started {started} processes but {reason}: install it with "
            "pip install 'gm2sim[mpi]', or start one process without mpiexec"
        ) from None
    world = MPI.COMM_WORLD
    if world.Get_size() != started and started > 1:
        raise ConfigError(
            f"the launcher started {started} processes but mpi4py sees {world.Get_size()}: use the mpiexec that "
            "belongs to mpi4py's MPI library (with the 'mpi' extra: the one beside this python)"
        )
    local = world.Split_type(MPI.COMM_TYPE_SHARED)
    return Ranks(world.Get_rank(), world.Get_size(), local.Get_rank(), local.Get_size(), world)
