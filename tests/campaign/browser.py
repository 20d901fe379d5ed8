"""Headless Chromium, where there is one: what a page says in it, and what it looks like."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

_WAIT_S = 120


def chromium() -> str:
    """The program; skips where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("no Chromium is installed here: pages are not looked at")


def run(page: Path, profile: Path, *options: str) -> tuple[str, list[str]]:
    """Load a page from the disk.

    Parameters
    ----------
    page : Path
    profile : Path
        An empty folder.
    options : str

    Returns
    -------
    (str, list of str)
        What it wrote, and messages of the page's console.
    """
    command = [
        chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
        "--allow-file-access-from-files", "--enable-logging=stderr", f"--user-data-dir={profile}", *options,
        page.absolute().as_uri(),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )  # fmt: skip
    try:
        out, said = process.communicate(timeout=_WAIT_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said[-2000:]
    return out, re.findall(r".*CONSOLE.*", said)
