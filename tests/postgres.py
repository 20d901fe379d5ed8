"""A PostgreSQL server of its own for tests: started in a temporary folder, nothing outside it is touched."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PRIVATE = "-c listen_addresses=''"
_FORGETFUL = "-c fsync=off -c full_page_writes=off -c synchronous_commit=off"


def missing() -> str:
    """Why there can be no server; empty when there can."""
    return "" if _program("initdb") and _program("pg_ctl") else "PostgreSQL is missing: apt-get install postgresql"


@contextmanager
def server(*, durable: bool = False) -> Iterator[str]:
    """Start a server; gives the address of its database ``postgres``, whose user may do everything.

    A durable one waits for the disk as servers in use do.
    """
    # The path of its socket has to be short; a server refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="gm2sim-pg-"))
    owner = pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    data = folder / "data"
    try:
        _run(owner, "initdb", "-D", str(data), "-A", "trust", "-U", "gm2", "--no-sync", "-E", "UTF8", "--locale=C")
        options = f"-k {folder} {_PRIVATE} {'' if durable else _FORGETFUL}"
        _run(owner, "pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://gm2@/postgres?host={folder}"
        finally:
            _run(owner, "pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def restart(address: str) -> None:
    """Kill a server that :func:`server` has started, as a failing machine would, and start it again.

    Only a durable one keeps what was committed just before.
    """
    data = Path(address.rpartition("host=")[2]) / "data"
    owner = pwd.getpwuid(data.stat().st_uid)
    _run(owner, "pg_ctl", "-D", str(data), "-w", "-m", "immediate", "-l", str(data.parent / "log"), "restart")


def _program(name: str) -> str | None:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: int(place.parent.name), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ.get("PATH", "")]))


def _run(owner: pwd.struct_passwd, name: str, *arguments: str) -> None:
    program = _program(name)
    assert program is not None
    become = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    done = subprocess.run(
        [program, *arguments], cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60,
        check=False, **become,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
