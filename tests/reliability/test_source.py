"""No line of the source opens a door, nor does a page: read as syntax trees, with a short list of exceptions."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = sorted(
    path
    for name in ("gm2sim", "gpu", "fields", "tracking", "decay", "detectors", "nersc")
    for path in (ROOT / name).rglob("*.py")
)
EVERYTHING = [*LIBRARY, *sorted((ROOT / "benchmarks").rglob("*.py")), *sorted((ROOT / "docs").rglob("*.py"))]

MODULES = {
    "pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "dbm", "telnetlib", "ftplib",
    "xml", "commands", "popen2", "pty", "imp",
}  # fmt: skip
CALLS = {
    "eval", "exec", "compile", "os.system", "os.popen", "os.spawnl", "os.spawnv", "os.execv", "tempfile.mktemp",
    "subprocess.getoutput", "subprocess.getstatusoutput", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
    "shutil.unpack_archive", "__import__", "importlib.reload", "runpy.run_path", "logging.config.fileConfig",
    "numpy.fromfile.pickle", "ctypes.CDLL",
}  # fmt: skip
UNPACK = {"extractall", "extract"}
KEYWORDS = {"allow_pickle", "shell"}
SECRET = re.compile(r"password|passwd|secret|token|api_?key|credential", re.IGNORECASE)

# What numba compiles is written out by the program itself, from its own tables: no text from outside gets there.
GENERATED = {
    ("gpu/march.py", "exec"), ("gpu/march.py", "compile"), ("gpu/kernel.py", "exec"), ("gpu/kernel.py", "compile"),
    ("tracking/step.py", "exec"),
}  # fmt: skip
# The C library that every process has loaded already, for prctl: copies of a rank die with who looks after them.
OWN_LIBRARY = {("gm2sim/together.py", "ctypes.CDLL")}
ALLOWED = GENERATED | OWN_LIBRARY
# Modules of our own, by a table in the same file.
BY_NAME = {"gm2sim/__init__.py"}


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of a name or attribute, empty for others."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before or '()'}.{node.attr}"
    return ""


def findings(path: Path, tree: ast.AST) -> Iterator[tuple[str, int, str]]:
    """File, line and what is wrong there."""
    name = str(path.relative_to(ROOT))
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            yield from ((name, line, f"import {one}") for one in modules if one.split(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            yield from ((name, line, what) for what in _call(name, node))


def _call(name: str, node: ast.Call) -> Iterator[str]:
    called = dotted(node.func)
    if called in CALLS and (name, called) not in ALLOWED:
        yield called
    if called.split(".")[-1] in UNPACK:
        yield f"{called}: check every name with gm2sim.atomic.inside and write it yourself"
    for keyword in node.keywords:
        given = keyword.value
        if keyword.arg in KEYWORDS and not (isinstance(given, ast.Constant) and given.value is False):
            yield f"{keyword.arg}="
    if called.startswith("subprocess.") and called.split(".")[-1] in (
        "run",
        "Popen",
        "call",
        "check_call",
        "check_output",
    ):
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant | ast.JoinedStr | ast.BinOp):
            yield f"{called} with a text in place of a list"
    if (
        called.endswith("import_module")
        and name not in BY_NAME
        and not (node.args and isinstance(node.args[0], ast.Constant))
    ):
        yield f"{called} of a name that is not in the source"
    if called.split(".")[0] in ("log", "logging", "logger") and SECRET.search(ast.unparse(node)):
        yield f"a secret in the log: {ast.unparse(node)[:60]}"
    if called in ("text", "sqlalchemy.text", "sa.text", "connection.exec_driver_sql") and any(
        isinstance(one, ast.BinOp) or (isinstance(one, ast.JoinedStr) and not _of_constants(one)) for one in node.args
    ):
        yield f"{called} of a statement put together"


def _of_constants(text: ast.JoinedStr) -> bool:
    """Whether only constants of the module are put in."""
    put_in = [one.value for one in text.values if isinstance(one, ast.FormattedValue)]
    return all(isinstance(one, ast.Name) and one.id.isupper() for one in put_in)


def test_no_line_of_the_source_opens_a_door() -> None:
    found = [one for path in EVERYTHING for one in findings(path, ast.parse(path.read_text("utf-8")))]
    assert found == []


def test_every_exception_is_still_needed() -> None:
    used = set()
    for path in LIBRARY:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                used.add((str(path.relative_to(ROOT)), dotted(node.func)))
    assert used >= ALLOWED


def test_assertions_only_tell_the_type_checker_what_it_cannot_see() -> None:
    """With ``python -O`` they are gone: what comes from outside is refused by an exception."""
    wrong = []
    for path in LIBRARY:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Assert) and not re.fullmatch(
                r"\S+ is not None|isinstance\(.*\)", ast.unparse(node.test)
            ):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "from pickle import loads", "eval(x)", "exec(x)", "import os; os.system(x)", "os.popen(x)",
        "subprocess.run(x, shell=True)", "subprocess.run('ls ' + x)", "subprocess.run(f'ls {x}')", "yaml.load(x)",
        "np.load(x, allow_pickle=True)", "tempfile.mktemp()", "tar.extractall(x)", "archive.extract(x, y)",
        "log.info('password %s', password)", "connection.execute(text(f'select {x}'))", "importlib.import_module(x)",
    ],
)  # fmt: skip
def test_the_test_sees_what_it_looks_for(line: str) -> None:
    assert list(findings(ROOT / "gm2sim" / "made_up.py", ast.parse(line)))


def test_pages_escape_what_they_are_given_and_load_nothing() -> None:
    builder = (ROOT / "gm2sim" / "report" / "build.py").read_text("utf-8")
    assert "autoescape=True" in builder
    for path in (ROOT / "gm2sim").rglob("*.j2"):
        text = path.read_text("utf-8")
        assert "|safe" not in text.replace(" ", "")
        assert "autoescape" not in text
        assert "Content-Security-Policy" in text
        assert "default-src 'none'" in text
        assert not re.search(r"<script|\bon\w+=|javascript:|https?://", text)


def test_every_writer_goes_through_the_one_that_is_tested() -> None:
    """A file opened for writing anywhere else could be left half."""
    allowed = {"gm2sim/atomic.py", "gm2sim/hdf5.py", "gm2sim/raw/writer.py", "gm2sim/raw/tools/output.py"}
    names = {"write_text", "write_bytes", "savefig", "savetxt", "tofile", "savez", "to_csv", "to_parquet"}
    wrong = []
    for path in LIBRARY:
        name = str(path.relative_to(ROOT))
        if name in allowed or not name.startswith("gm2sim/"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = dotted(node.func)
            modes = [
                one.value for one in [*node.args, *(k.value for k in node.keywords)] if isinstance(one, ast.Constant)
            ]
            opens = called.split(".")[-1] in ("open", "File") and any(
                isinstance(m, str) and re.fullmatch(r"[rwax]b?\+?t?", m) and set(m) & set("wax+") for m in modes
            )
            if opens or (
                isinstance(node.func, ast.Attribute)
                and node.func.attr in names
                and not (called == "np.savetxt" or re.search(r"\(drawn,|buffer", ast.unparse(node)))
            ):
                wrong.append(f"{name}:{node.lineno}: {ast.unparse(node)[:70]}")
    assert wrong == []
