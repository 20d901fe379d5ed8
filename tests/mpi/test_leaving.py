"""Asked to leave, all ranks leave with what they have done; the script of leaving.py tries more."""

from gm2sim.farm import CONTINUE
from tests.mpi.leaving import finish, leave, summed
from tests.mpi.test_ranks import needs_mpi


@needs_mpi
def test_signals_end_the_job_with_the_code_to_go_on_and_the_bytes_are_the_same(tmp_path):
    finish(tmp_path / "whole")
    expected = summed(tmp_path / "whole")
    for name, to in (("SIGUSR1", "mpiexec"), ("SIGTERM", "rank")):
        out = tmp_path / name
        left = leave(out, name, to, 5)
        assert left.code == CONTINUE, left.said
        assert left.seconds < 10
        assert left.lost <= 0
        assert "asked to leave by" in left.said
        assert "Traceback" not in left.said
        finish(out, "--resume")
        assert summed(out) == expected
