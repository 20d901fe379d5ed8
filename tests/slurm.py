"""A Slurm of one node for tests: its daemons are started in a temporary folder, nothing outside it is touched."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
_PATIENCE_S = 60.0
_SETTINGS = """\
ClusterName=gm2test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=2
MinJobAge=3600
InactiveLimit=0
SlurmctldTimeout=600
SlurmdTimeout=600
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1 \
RealMemory=8000 Feature=cpu,gpu Gres=gpu:{gpus} State=UNKNOWN
DefMemPerCPU=50
PartitionName=debug Nodes={host} Default=YES MaxTime=60 State=UP
"""


def missing() -> str:
    """Why there can be no Slurm; empty when there can."""
    absent = [name for name in _PROGRAMS if shutil.which(name, path=_PLACES) is None]
    return f"{absent[0]} is missing: apt-get install slurm-wlm munge" if absent else ""


@contextmanager
def cluster(cpus: int = 4, gpus: int = 0) -> Iterator[dict[str, str]]:
    """Start a Slurm; gives the environment that its commands need. GPUs are only counted, there need not be any."""
    folder = Path(tempfile.mkdtemp(prefix="gm2sim-slurm-"))
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _PLACES}
    try:
        for name in ("state", "spool"):
            (folder / name).mkdir()
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o400)
        folder.chmod(0o755)
        host = socket.gethostname().partition(".")[0]
        values = {"host": host, "user": pwd.getpwuid(os.getuid()).pw_name, "folder": folder, "cpus": cpus, "gpus": gpus}
        for number in range(gpus):
            (folder / f"gpu{number}").touch()
        (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-{gpus - 1}]\n" if gpus else "")
        (folder / "slurm.conf").write_text(_SETTINGS.format(controller=_port(), node=_port(), **values))
        with ExitStack() as daemons:
            munge = [f"--{name}-file={folder / name}" for name in ("pid", "log", "seed")]
            key = [f"--key-file={folder / 'munge.key'}", f"--socket={folder / 'munge.sock'}"]
            _start(daemons, environment, folder, ["munged", "--foreground", "--force", *key, *munge])
            _wait(lambda: (folder / "munge.sock").exists(), folder)
            _start(daemons, environment, folder, ["slurmctld", "-D", "-f", str(folder / "slurm.conf")])
            _start(daemons, environment, folder, ["slurmd", "-D", "-f", str(folder / "slurm.conf")])
            _wait(lambda: _ask(environment, "sinfo", "-h", "-o", "%T") == "idle", folder)
            yield environment
            _ask(environment, "scancel", "--user", str(values["user"]))
            _wait(lambda: not _ask(environment, "squeue", "-h"), folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _start(daemons: ExitStack, environment: dict[str, str], folder: Path, command: list[str]) -> None:
    program = shutil.which(command[0], path=_PLACES)
    assert program is not None
    with (folder / "out").open("ab") as out:
        daemon = subprocess.Popen(
            [program, *command[1:]], env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder
        )
    daemons.callback(_stop, daemon)


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(timeout=20)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _ask(environment: dict[str, str], name: str, *arguments: str) -> str:
    done = subprocess.run(
        [name, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout.strip() if done.returncode == 0 else "?"


def _wait(ready: Callable[[], bool], folder: Path) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not ready():
        if time.monotonic() > end:
            told = "\n".join(path.read_text(errors="replace")[-2000:] for path in folder.glob("*.log"))
            raise AssertionError(f"Slurm does not start: {told}")
        time.sleep(0.2)
