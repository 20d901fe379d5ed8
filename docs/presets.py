"""Write docs/presets.md: every value of every preset with its source and mark, and the published numbers beside.

python docs/presets.py
"""

import math
from pathlib import Path
from typing import Any

from gm2sim.config import presets, resolve
from gm2sim.config.check import flatten, unit_of
from gm2sim.config.load import toml_value
from gm2sim.report.published import DATA_SETS, LATER_SETS, Published, mark, published, quantities

HEAD = """# Presets

Written by `python docs/presets.py` from the presets and from `gm2sim/report/published.py`; a test holds that it is
what these say. `gm2sim config run1a` prints a preset with its defaults and where each value comes from.

Marks: **read** in the source named; **computed** from numbers read there; **best estimate**, where no public number
was found, or one recalled and not checked against the printed paper; **our choice**, where any value would do. Where
a preset has no row for a key the default holds.

"""
LEFT_OUT = """
## What the presets leave out

- The radio frequency on the quad plates that damps the coherent oscillation in Run-5 and Run-6 is not in the
  configuration yet: `run456` is nearer to Run-4.
- The corrections of Run-2, Run-3a and Run-3b are published as one mean: the three presets have one stored beam. With
  the stronger kick of Run-3b its $C_e$ should be nearer to that of Run-4/5/6.
- No public field of Run-4/5/6 was found: `run456` has that of Run-3b.
- No kicker pulse of Run-1 is public: its presets have that of Run-2.
- All five collimators are full circles of 45 mm; in Run-1 some were half circles or out.
- The stored beam is matched to the quads at their set voltages. The slow resistors move it while it circulates: of
  20 000 muons that do not decay 3.3, 1.6, 1.4 and 2.9 % are lost before 30 μs in `run1a` to `run1d`, 0.2 % in `run2`
  (20-pole and map alone), and the $C_e$ of the rest is 2 to 6 ppb smaller.
- `beam.source` is `stored` everywhere, and kickers act on an injected beam only. `kickers.gauss_per_kv` and all of
  `[injection]` keep their defaults.
"""


def value_rows() -> list[str]:
    """One row for each key, value and source, with the presets that share it."""
    shared: dict[tuple[str, str, str], list[str]] = {}
    for name in presets():
        resolved = resolve(name)
        values: dict[str, Any] = flatten(resolved.config.model_dump())
        for key in resolved.origin:
            if key != "description":
                shared.setdefault((key, toml_value(values[key]), resolved.note[key]), []).append(name)
    order = list(flatten(resolve("ideal").config.model_dump()))
    rows = ["| key | value | unit | presets | source | mark |", "|---|---|---|---|---|---|"]
    for (key, value, note), names in sorted(shared.items(), key=lambda item: order.index(item[0][0])):
        rows.append(f"| `{key}` | {value} | {unit_of(key)} | {', '.join(names)} | {note} | {mark(note)} |")
    return rows


def published_rows() -> list[str]:
    """One row for each published quantity, value and source, with the presets that it belongs to."""
    shared: dict[tuple[str, str, str, str], list[str]] = {}
    for key in quantities():
        for name in (*DATA_SETS, *LATER_SETS):
            if (theirs := published(key, name)) is not None:
                shared.setdefault((key, _number(theirs), theirs.remark, theirs.source), []).append(name)
    rows = ["| quantity | value | presets | remark | source | mark |", "|---|---|---|---|---|---|"]
    for (key, value, remark, source), names in shared.items():
        rows.append(f"| `{key}` | {value} | {', '.join(names)} | {remark} | {source} | {mark(source)} |")
    return rows


def page() -> str:
    """The whole page."""
    names = [f"- `{name}`: {description}" for name, description in presets().items()]
    values = ["", "## Values", "", *value_rows()]
    theirs = ["", "## Published numbers", "", "What the report and the studies compare with.", "", *published_rows()]
    return HEAD + "\n".join([*names, *values, *theirs, ""]) + LEFT_OUT


def _number(theirs: Published) -> str:
    value = f"{theirs.value:.10g}" if theirs.value > 1e6 else f"{theirs.value:.6g}"
    return value if math.isnan(theirs.error) else f"{value} ± {theirs.error:g}"


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
