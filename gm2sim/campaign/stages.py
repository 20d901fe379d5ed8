"""How a shard of each kind of stage is made, and known again when it is there."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from gm2sim.atomic import inside, sha256, write_bytes, write_json
from gm2sim.campaign.claims import RunClaim
from gm2sim.campaign.definition import Campaign, StageSection
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.nearline import look, read_nearline
from gm2sim.campaign.runs import Run, config_of, runs
from gm2sim.campaign.shard import Report, Shard
from gm2sim.errors import ConfigError, RunError
from gm2sim.farm import Farm
from gm2sim.outputs import SubrunPaths, describe, read_metadata, subrun_is_done
from gm2sim.prepared import setup_of
from gm2sim.setup import Setup
from gm2sim.subrun import run_subrun
from gm2sim.summary import Tally, summarise
from gm2sim.warm import compiled_set, warm_up
from gpu import cache

_KEPT = 2  # runs whose tables a rank keeps
CONDITIONS, QUALITY, POSITRONS, REPORT = "conditions.sqlite", "quality.sqlite", "reco.h5", "report.html"
"""Files of a run in the folders of the stages behind the simulation."""


class Made(NamedTuple):
    """A shard whose files are there and right.

    Attributes
    ----------
    files : dict of str to dict
        Name in the folder of the run: size and sha256.
    muons : int
    checks : dict of str to dict
        Physics checks.
    """

    files: dict[str, dict[str, Any]]
    muons: int = 0
    checks: Mapping[str, dict[str, Any]] = MappingProxyType({})


class Stage(Protocol):
    """What a rank can do with the shards of a stage."""

    def there(self, shard: Shard, before: Report | None) -> Made | None:
        """The shard when it is there already with every sum right."""

    def make(self, shard: Shard, farm: Farm) -> Made | None:
        """Make the shard; None when the rank was asked to leave before it was finished."""

    def close(self) -> None:
        """Nothing more is to be made."""


def open_stage(
    folder: CampaignFolder, campaign: Campaign, stage: str, backend: str, who: str, note: Callable[[str], None] | None
) -> Stage:
    """The maker of a stage's shards.

    Parameters
    ----------
    folder : CampaignFolder
    campaign : Campaign
    stage : str
        Its name.
    backend : str
        "cpu" or "gpu".
    who : str
        For others who come to the same folders.
    note : callable, optional
        Told when kernels are compiled.
    """
    section = campaign.stage(stage)
    by_number = {run.number: run for run in runs(campaign)}
    if section.kind == "simulate":
        return Simulation(folder, campaign, by_number, backend, who, note)
    if section.kind == "reconstruct":
        return Reconstruction(folder, campaign, by_number, section)
    return Reporting(folder, campaign, by_number, section)


class Simulation:
    """Subruns, as ``gm2sim run`` would make them."""

    def __init__(
        self,
        folder: CampaignFolder,
        campaign: Campaign,
        runs: Mapping[int, Run],
        backend: str,
        who: str,
        note: Callable[[str], None] | None,
    ) -> None:
        self._folder, self._campaign, self._runs = folder, campaign, runs
        self._backend, self._who, self._note = backend, who, note
        self._open: OrderedDict[tuple[str, int], tuple[Setup, RunClaim]] = OrderedDict()

    def there(self, shard: Shard, before: Report | None) -> Made | None:
        """As of :class:`Stage`: sums decide, and the light reconstruction is made up for where it is missing."""
        setup = self._setup(shard)
        paths = self._paths(setup, shard)
        if not subrun_is_done(paths, setup.config, setup.conditions.version):
            return None
        return self._made(setup, paths, shard)

    def make(self, shard: Shard, farm: Farm) -> Made | None:
        """As of :class:`Stage`; read back before it counts."""
        setup = self._setup(shard)
        paths = self._paths(setup, shard)
        if not run_subrun(setup, paths, self._campaign.preset, Tally(), farm, resume=True):
            return None
        farm.found(0)
        if not subrun_is_done(paths, setup.config, setup.conditions.version):
            raise RunError(f"'{paths.raw}' or what lies beside it reads otherwise than it was written: make it again")
        return self._made(setup, paths, shard)

    def close(self) -> None:
        """Leave the folders of the runs."""
        while self._open:
            self._open.popitem()[1][1].close()

    def _made(self, setup: Setup, paths: SubrunPaths, shard: Shard) -> Made:
        metadata = read_metadata(paths.metadata)
        files = {name: {key: facts[key] for key in ("size", "sha256")} for name, facts in metadata["files"].items()}
        files[paths.metadata.name] = _facts(paths.metadata)
        place, raw = self._folder.nearline(shard), files[paths.raw.name]["sha256"]
        seen = read_nearline(place, raw)
        if seen is None:
            place.parent.mkdir(parents=True, exist_ok=True)
            seen = look(setup.config, paths, metadata["counts"], raw)
            seen.write(place)
        return Made(files, int(metadata["counts"]["muons"]), seen.checks)

    def _paths(self, setup: Setup, shard: Shard) -> SubrunPaths:
        return SubrunPaths(
            self._folder.run(shard.stage, shard.run), shard.run, shard.subrun, setup.config.daq.compression
        )

    def _setup(self, shard: Shard) -> Setup:
        """Tables and kernels of the run, and a place in its folder; those of the runs used last are kept."""
        key = shard.stage, shard.run
        if key not in self._open:
            setup = setup_of(config_of(self._campaign, _run(self._runs, shard)), self._backend)
            cache.ensure_compiled(lambda: warm_up(setup), self._note, compiled_set(setup))
            who = f"{self._who}, {describe(setup.config)}"
            claim = RunClaim(self._folder.run(shard.stage, shard.run), setup.config, who)
            while len(self._open) >= _KEPT:
                self._open.popitem(last=False)[1][1].close()
            self._open[key] = setup, claim
        self._open.move_to_end(key)
        return self._open[key][0]


class _WholeRuns:
    """Stages behind the simulation, a run a shard."""

    def __init__(
        self, folder: CampaignFolder, campaign: Campaign, runs: Mapping[int, Run], section: StageSection
    ) -> None:
        self._folder, self._campaign, self._runs = folder, campaign, runs
        self._simulated = _simulation_before(campaign, section)

    def there(self, shard: Shard, before: Report | None) -> Made | None:
        """As of :class:`Stage`: the files are those of the last report."""
        folder = self._folder.run(shard.stage, shard.run)
        if before is None or before.state not in ("done", "flagged") or not before.files:
            return None
        with suppress(OSError, ConfigError):
            if all(_facts(inside(folder, name)) == facts for name, facts in before.files.items()):
                return Made(before.files, before.muons, before.checks)
        return None

    def close(self) -> None:
        """Nothing is open."""

    def _subruns(self, shard: Shard) -> tuple[Path, Path, list[dict[str, Any]]]:
        """Folder of the simulated run, its counterpart in this stage, and the metadata of its subruns, all right."""
        run = _run(self._runs, shard)
        config = config_of(self._campaign, run)
        source, own = self._folder.run(self._simulated, run.number), self._folder.run(shard.stage, run.number)
        found = []
        for subrun in range(run.subruns):
            paths = SubrunPaths(source, run.number, subrun, config.daq.compression)
            version = read_metadata(paths.metadata).get("conditions", "built in") if paths.metadata.exists() else ""
            if not version or not subrun_is_done(paths, config, version):
                raise RunError(
                    f"subrun {subrun} of run {run.number} is not there, or damaged: recover stage "
                    f"'{self._simulated}' first"
                )
            found.append(read_metadata(paths.metadata))
        own.mkdir(parents=True, exist_ok=True)
        return source, own, found


class Reconstruction(_WholeRuns):
    """Both passes over a run: constants from it alone, then positrons and tracks with them."""

    def make(self, shard: Shard, farm: Farm) -> Made | None:
        """As of :class:`Stage`; constants and quality go into SQLite files in the folder of the run."""
        from gm2sim.conditions.loading import add, of_run
        from gm2sim.database import opened, upgrade
        from gm2sim.passes.full import full
        from gm2sim.passes.pre import pre
        from gm2sim.setup import conditions_of

        source, own, metadata = self._subruns(shard)
        run = self._runs[shard.run]
        config = config_of(self._campaign, run)
        for name in (CONDITIONS, QUALITY):  # of an attempt that was not finished
            for left in own.glob(f"{name}*"):
                left.unlink()
        tag, db = f"run{run.number:05d}", str(own / CONDITIONS)
        with opened(db, create=True) as engine:
            upgrade(engine, "conditions")
        loaded = [one["folder"] for one in pre(source, db, tag, own / QUALITY)["loaded"]]
        with opened(db) as engine:
            add(engine, tag, of_run(conditions_of(config), loaded, run.number, run.subruns))
        out = own / POSITRONS
        full(source, db, tag, out, quality=own / QUALITY, allow_open=True, force=True)
        files = {path.name: _facts(path) for path in (out, out.with_suffix(".json"))}
        return Made(files, sum(int(one["counts"]["muons"]) for one in metadata))


class Reporting(_WholeRuns):
    """The report of a run."""

    def make(self, shard: Shard, farm: Farm) -> Made | None:
        """As of :class:`Stage`."""
        from gm2sim.report import report

        source, own, metadata = self._subruns(shard)
        config = config_of(self._campaign, self._runs[shard.run])
        tallies = []
        for one in metadata:
            tallies.append(Tally())
            raw = next(name for name in one["files"] if not name.endswith(".h5"))
            tallies[-1].add_finished(one, raw)
        summary = summarise(config, self._campaign.preset, metadata[0].get("backend", ""), 1, tallies, 0.0)
        write_json(source / "summary.json", summary, replace=True)
        made = report(source)
        write_bytes(own / REPORT, made.read_bytes(), replace=True)
        made.unlink()
        return Made({REPORT: _facts(own / REPORT)}, int(summary["counts"]["muons"]))


def _simulation_before(campaign: Campaign, section: StageSection) -> str:
    """The stage that has made the raw data that a stage works on."""
    todo = list(section.after)
    while todo:
        before = campaign.stage(todo.pop(0))
        if before.kind == "simulate":
            return before.name
        todo += before.after
    raise ConfigError(f"stage '{section.name}' comes after no stage that simulates: name one in its 'after'")


def _run(runs: Mapping[int, Run], shard: Shard) -> Run:
    if shard.run not in runs:
        raise ConfigError(f"shard {shard.name} is of run {shard.run}, which the campaign has not: launch it again")
    return runs[shard.run]


def _facts(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": sha256(path)}
