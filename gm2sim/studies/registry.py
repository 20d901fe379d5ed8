"""The studies by name: a function becomes a study by one line above it."""

import functools
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gm2sim.config import Config, ConfigError
from gm2sim.errors import nearest
from gm2sim.report.published import Published, data_set_of, published
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Finding, Outcome


class StudyFunction(Protocol):
    """A study as it is called: configuration in, outcome out."""

    def __call__(self, config: Config, *, muons: int | None = None, seed: int | None = None) -> Outcome:
        """Make the study."""


@dataclass(frozen=True)
class Study:
    """One entry of the registry.

    Attributes
    ----------
    name, summary : str
        As typed on the command line; one line for people.
    key : str
        Quantity of :func:`gm2sim.report.published.published` that it is compared with; empty: none.
    muons : int
        Default size.
    run : function
        Makes it.
    saves : bool
        Whether its outcome has data to save.
    """

    name: str
    summary: str
    key: str
    muons: int
    run: StudyFunction
    saves: bool = False

    def published(self, data_set: str) -> Published | None:
        """The value to compare with."""
        return published(self.key, data_set) if self.key else None


_STUDIES: dict[str, Study] = {}


def study(
    name: str, *, key: str = "", muons: int, saves: bool = False
) -> Callable[[Callable[[Case], Finding]], StudyFunction]:
    """Enter a function of a :class:`Case` into the registry; the first line of its docstring says what it is.

    Parameters
    ----------
    name : str
        Name on the command line.
    key : str
        Quantity of the published table that its result is compared with.
    muons : int
        Muons tracked when nothing else is asked for: under two minutes on two cores.
    saves : bool
        Whether its finding has data to save.
    """

    def enter(function: Callable[[Case], Finding]) -> StudyFunction:
        summary = (inspect.getdoc(function) or "").splitlines()[0].rstrip(".")

        @functools.wraps(function)
        def run(config: Config, *, muons: int | None = None, seed: int | None = None) -> Outcome:
            begin = time.perf_counter()
            case = Case(config, _size(name, entry.muons if muons is None else muons), seed)
            finding = function(case)
            data_set = data_set_of(config.run.run)
            first, *others = finding.table
            first = first._replace(published=first.published or entry.published(data_set))
            return Outcome(
                study=name, summary=summary, data_set=data_set, table=(first, *others), panels=finding.panels,
                remark=finding.remark, muons=case.muons, seed=case.seed, muon_turns=case.muon_turns,
                seconds=time.perf_counter() - begin, data=finding.data,
            )  # fmt: skip

        entry = Study(name, summary, key, muons, run, saves)
        _STUDIES[name] = entry
        return run

    return enter


def studies() -> dict[str, Study]:
    """All studies by name, in alphabetical order."""
    return dict(sorted(_STUDIES.items()))


def run_study(name: str, config: Config, *, muons: int | None = None, seed: int | None = None) -> Outcome:
    """Make one study.

    Parameters
    ----------
    name : str
        See :func:`studies`.
    config : Config
    muons : int, optional
        Size; the study's own when left out.
    seed : int, optional
        Seed of the muons; the configured one when left out.

    Raises
    ------
    ConfigError
        If there is no study of that name, or the size is out of bounds.
    """
    known = studies()
    if name not in known:
        raise ConfigError(f"there is no study '{name}': {nearest(name, known)}")
    return known[name].run(config, muons=muons, seed=seed)


def _size(name: str, muons: int) -> int:
    if not 16 <= muons <= 10_000_000:
        raise ConfigError(f"--muons {muons} is out of bounds for the study {name}: give 16 to 10000000")
    return muons
