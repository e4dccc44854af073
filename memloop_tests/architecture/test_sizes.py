"""Size budgets, refused names, and that importing a module reads nothing: what a file may be, whatever it imports."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from memloop_tests.architecture.source_tree import PACKAGE, ROOT, Module, read_package, write_package

FILE_LINES = 400  # about 120 is usual; past 400 a file has two subjects
FUNCTION_LINES = 60  # rarely above 40

SOURCE_FOLDERS = (PACKAGE, "memloop_tests", "benchmarks")
DRAWERS = {"base", "common", "constants", "core", "helper", "helpers", "misc", "models", "types", "util", "utils"}
DOERS = re.compile(r"(Manager|Handler|Helper|Processor|Orchestrator|Coordinator|Service|Engine)$")

CLOCKS = re.compile(r"datetime\.(datetime\.(now|utcnow|today)|date\.today)|time\.\w+")
ENVIRONMENT = re.compile(r"os\.(environ|getenv)(\.\w+)*")
FILES = re.compile(
    r"(io\.)?open|.*\.(read_text|read_bytes|open|cwd|home|exists|is_file|is_dir|iterdir|glob|rglob|stat)"
)
READS_THE_FIRST_WEEK = f"{PACKAGE}/orchestration/partitions.py"


def oversized(path: str, source: str) -> Iterator[str]:
    """Yield a sentence for the file and for each of its functions that is over its budget."""
    count = len(source.splitlines())
    if count > FILE_LINES:
        yield f"{path} has {count} lines, more than {FILE_LINES}: it has two subjects"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{path}:{node.lineno} {node.name} has {length} lines, more than {FUNCTION_LINES}"


def refused_names(module: Module) -> Iterator[str]:
    """Yield a sentence for each drawer, each doer and each name of the standard library."""
    for part in Path(module.path).with_suffix("").parts:
        if part in DRAWERS or part.split("_")[-1] in DRAWERS:
            yield f"{module.path}: {part!r} is a drawer, not a subject"
        if part in sys.stdlib_module_names and part != "__init__":
            yield f"{module.path}: {part!r} is a module of the standard library"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and DOERS.search(node.name):
            yield f"{module.path}:{node.lineno} {node.name} is named for doing, not for what it is"


class ImportTime(ast.NodeVisitor):
    """Collects what runs when a module is imported: everything but the bodies of functions and of the main guard."""

    def __init__(self, module: Module) -> None:
        self.names = dict(_imported_names(module.tree))
        self.reads: list[str] = []
        self.path = module.path
        self.visit(module.tree)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for evaluated in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(evaluated)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 the visitor looks its methods up by this name

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Leave out what runs only when it is called."""

    def visit_If(self, node: ast.If) -> None:
        if "__main__" not in ast.unparse(node.test):
            self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._note(node, ENVIRONMENT)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self._note(node, ENVIRONMENT)

    def visit_Call(self, node: ast.Call) -> None:
        self._note(node.func, CLOCKS)
        self._note(node.func, FILES)
        self.generic_visit(node)

    def _note(self, node: ast.expr, pattern: re.Pattern[str]) -> None:
        first, dot, rest = ast.unparse(node).partition(".")
        name = self.names.get(first, first) + dot + rest
        if pattern.fullmatch(name):
            self.reads.append(f"{self.path}:{node.lineno} reads {name} when it is imported. Fix: pass it in")


def _imported_names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name.split(".")[0], alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def test_no_file_and_no_function_is_over_its_budget() -> None:
    files = [file for folder in SOURCE_FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    found = (oversized(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in files)
    assert [sentence for sentences in found for sentence in sentences] == []


@pytest.mark.parametrize(
    ("source", "objections"),
    [
        ("x = 1\n" * FILE_LINES, 0),
        ("x = 1\n" * (FILE_LINES + 1), 1),
        ("def f():\n" + "    x = 1\n" * (FUNCTION_LINES - 1), 0),
        ("def f():\n" + "    x = 1\n" * FUNCTION_LINES, 1),
        ("class A:\n    async def f(self):\n" + "        x = 1\n" * FUNCTION_LINES, 1),
    ],
)
def test_a_budget_is_kept_to_the_line(source: str, objections: int) -> None:
    assert len(list(oversized("some.py", source))) == objections


def test_nothing_carries_a_refused_name() -> None:
    assert [sentence for module in read_package(ROOT).values() for sentence in refused_names(module)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("routing/utils.py", ""),
        ("routing/text_helpers.py", ""),
        ("core/router.py", ""),
        ("routing/statistics.py", ""),
        ("routing/router.py", "class RouterManager: ..."),
        ("routing/router.py", "class Router:\n    class ScoreEngine: ..."),
    ],
)
def test_a_refused_name_is_found(path: str, source: str, tmp_path: Path) -> None:
    (module,) = write_package(tmp_path, {path: source}).values()
    assert len(list(refused_names(module))) == 1


def test_importing_memloop_reads_no_clock_no_file_and_no_environment() -> None:
    modules = [module for module in read_package(ROOT).values() if module.path != READS_THE_FIRST_WEEK]
    assert [sentence for module in modules for sentence in ImportTime(module).reads] == []


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import UTC, datetime\nSTARTED = datetime.now(tz=UTC)",
        "import datetime as dt\nTODAY = dt.date.today()",
        "import time\nSTARTED = time.monotonic()",
        "from time import perf_counter as tick\nSTARTED = tick()",
        "import os\nHOME = os.environ['HOME']",
        "import os\nHOME = os.environ.get('HOME')",
        "from os import environ\nclass Settings:\n    home = environ['HOME']",
        "import os\ndef home(name=os.getenv('HOME')): ...",
        "TEXT = open('prices.json').read()",
        "from pathlib import Path\nTEXT = Path(__file__).with_name('prices.json').read_text()",
        "from pathlib import Path\nif True:\n    HERE = Path.cwd()",
    ],
)
def test_a_read_at_import_is_found(source: str, tmp_path: Path) -> None:
    (module,) = write_package(tmp_path, {"settings.py": source}).values()
    assert ImportTime(module).reads


@pytest.mark.parametrize(
    "source",
    [
        "import time\ndef now():\n    return time.time()",
        "from pathlib import Path\nHERE = Path(__file__).parent",
        "import os\nseparator = os.sep\nread = lambda: os.environ['HOME']",
        "import datetime as dt\nFIRST = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)",
        "import sys\nif __name__ == '__main__':\n    print(open(sys.argv[1]).read())",
    ],
)
def test_what_runs_later_may_read(source: str, tmp_path: Path) -> None:
    (module,) = write_package(tmp_path, {"settings.py": source}).values()
    assert ImportTime(module).reads == []


def test_no_python_file_at_the_top_can_shadow_a_library() -> None:
    assert [file.name for file in ROOT.glob("*.py")] == []
