"""A first campaign file: small, commented, and ready to launch."""

from pathlib import Path

from gm2sim.atomic import write_text
from gm2sim.campaign.definition import Campaign, read
from gm2sim.campaign.sites import site
from gm2sim.errors import ConfigError

_TEXT = """\
# A campaign of gm2sim: what is to be made, from truth to reports.
#   gm2sim campaign plan {file}        what it will cost
#   gm2sim campaign launch {file}      submit what is ready; again as often as you like
#   gm2sim campaign status {file}      what became of it

name = "{name}"           # unique in the catalogue
description = "first steps"
preset = "{preset}"       # a preset (gm2sim presets) or a TOML file
seed = 1                  # of every random number
software = ""             # version of gm2sim that must be installed; empty for any
container = ""            # image that jobs run in; empty for none
site = "{site}"           # local, perlmutter-cpu, perlmutter-gpu, one of yours, or a TOML file with one
folder = "{folder}"       # of everything it makes, relative to this file
catalog = "catalog.sqlite"  # relative to the folder, or postgresql://user@host/name for several users
nodes = 1                 # most nodes at work at once
draining = false          # true: runs may be added later, and launch takes up what is new

# Stages in any order; "after" says what a run must have finished before.
# A stage fails for good when its shards were launched once and "retries" times more.
[[stage]]
name = "raw"
kind = "simulate"         # raw data and truth, a shard a subrun
retries = 2
time = "00:30:00"         # of a job; one that is not done by then goes on from its checkpoint
memory_mb = 2000          # of a rank

[[stage]]
name = "report"
kind = "report"           # report.html of each run; "reconstruct" makes both passes over a run
after = ["raw"]
retries = 1
time = "00:30:00"

# Slices: each muon must be in one, and in one only.
[[runs]]
first_run = 1
runs = 2                  # numbered on from the first
fills = 8                 # of each run
subruns = 4               # of each run, one shard each
[runs.set]                # values of the configuration, by dotted name; these make the fills small
"beam.muons_per_fill" = 200
"tracking.fill_duration_us" = 100

# A grid: runs for every combination of the values, numbered on.
# [[runs]]
# first_run = 101
# fills = 8
# [runs.grid]
# "quads.voltage_kv" = [14.2, 18.3, 21.1]
"""


def new(name: str, out: Path | None = None, *, preset: str = "gasgun", where: str = "local") -> Path:
    """Write a campaign file that works as it stands.

    Parameters
    ----------
    name : str
        Of the campaign.
    out : Path, optional
        The file; ``<name>.toml`` here without.
    preset : str
    where : str
        Name of the site.

    Raises
    ------
    ConfigError
        The name is none, the preset or the site is unknown.
    FileExistsError
        The file is there.
    """
    from gm2sim.config import load

    load(preset)
    scratch = site(where).scratch
    path = out or Path(f"{name}.toml")
    folder = f"{scratch}/{name}" if scratch else f"{name}"
    text = _TEXT.format(name=name, preset=preset, site=where, folder=folder, file=path)
    _check(text, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    read(path)
    return path


def _check(text: str, name: str) -> None:
    import tomllib

    from pydantic import ValidationError

    try:
        Campaign.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError):
        raise ConfigError(
            f"'{name}' is no name of a campaign: give small letters, digits and . _ -, up to 64, beginning with a "
            "letter or digit"
        ) from None
