"""Who may import whom.

A rule is a function from a tree of modules to the sentences in which it objects. Each is held against memloop itself,
and each is shown to object to a tiny tree that breaks it. A new top-level module gets its place in the tables below.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from memloop_tests.architecture.source_tree import PACKAGE, ROOT, Module, imports_of, read_package, write_package

Tree = Mapping[str, Module]
Rule = Callable[[Tree], Iterator[str]]

GROUND = {
    "",
    "contracts",
    "disk_faults",
    "errors",
    "featuriser",
    "migrations",
    "near_duplicates",
    "number_table",
    "paths",
    "pictures",
    "settings",
    "staleness",
    "state",
    "store",
    "tasks",
    "weeks",
}
ROOMS = ("trajectories", "review", "datasets", "memory", "routing", "adapters", "benchmarks", "promotion", "serving")
WORLD = {"simulate", "simulate_prose"}

# A top-level module or folder: what it may import of memloop. "" is the package itself.
MAY_IMPORT: dict[str, set[str]] = {
    **dict.fromkeys(GROUND, GROUND),
    **{room: GROUND | set(ROOMS[: ROOMS.index(room) + 1]) for room in ROOMS},
    **dict.fromkeys(WORLD, GROUND | {*ROOMS} | WORLD),
    "client": GROUND | {"routing"},
    "home": GROUND | {*ROOMS},
    "forgetting": GROUND | {*ROOMS, "home"},
    "orchestration": GROUND | {*ROOMS, "home", "forgetting", "orchestration"},
    "definitions": GROUND | {*ROOMS, "home", "orchestration"},
    "command_parser": GROUND,
    "dagster_process": GROUND,
    "benchmark_commands": GROUND | {*ROOMS, "home"},
    "status": GROUND | {*ROOMS, "home"},
    "demo": GROUND | {*ROOMS, "home", "dagster_process"} | WORLD,
    "cli": GROUND
    | {
        *ROOMS,
        "home",
        "benchmark_commands",
        "client",
        "command_parser",
        "forgetting",
        "dagster_process",
        "demo",
        "status",
    }
    | WORLD,
}
DOORWAYS_MAY_ALSO = tuple(
    f"{PACKAGE}.orchestration.{name}" for name in ("partitions", "resources", "table_metadata", "week_loop")
)
# A program, started as a process of its own and imported by nothing: it may load what everything else joins into.
PROGRAMS = {f"{PACKAGE}.orchestration.backfill": {"definitions"}}
CLIENT_ROOM_MODULES = {
    f"{PACKAGE}.routing.{name}"
    for name in ("router", "choosing", "deployment", "linear", "forest", "task_memory", "checkpoint", "array_folder")
}
CLIENT_SIDE = (
    *(f"{PACKAGE}.{name}" for name in ("client", "errors", "featuriser", "near_duplicates", "number_table")),
    *(f"{PACKAGE}.{name}" for name in ("tasks", "weeks")),
    *CLIENT_ROOM_MODULES,
)

# A library: the paths below the package that may load it. A path that ends in / is a folder.
LIBRARY_HOMES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("sklearn", "joblib"): ("routing/growing.py",),
    ("sqlalchemy", "alembic", "sqlite3"): (
        "state.py",
        "routing/versions.py",
        "trajectories/log_index.py",
        "trajectories/forget_index.py",
        "promotion/attempts.py",
        "migrations/",
    ),
    ("starlette", "uvicorn", "fastapi", "flask"): ("review/web.py", "serving/"),
    ("torch", "transformers", "peft"): (),
}


def top_of(name: str) -> str:
    """Return the part of a dotted name right below the package, or nothing for the package itself."""
    return name.removeprefix(PACKAGE).lstrip(".").split(".")[0]


def is_ours(target: str) -> bool:
    return target == PACKAGE or target.startswith(f"{PACKAGE}.")


def objections(tree: Tree, refuses: Callable[[Module, str], str]) -> Iterator[str]:
    """Yield a sentence for every import that `refuses` gives a reason for."""
    for module in tree.values():
        for found in imports_of(module, tree):
            if reason := refuses(module, found.target):
                yield f"{module.path}:{found.line} imports {found.target}: {reason}"


def dagster_stays_behind_the_doorways(tree: Tree) -> Iterator[str]:
    def refuses(module: Module, target: str) -> str:
        behind = module.is_doorway or top_of(module.name) in {"orchestration", "definitions"}
        is_dagster = target.split(".", maxsplit=1)[0].startswith("dagster")
        return "Dagster only in assets.py, orchestration/ and definitions.py" if is_dagster and not behind else ""

    yield from objections(tree, refuses)


def rooms_follow_the_flow(tree: Tree) -> Iterator[str]:
    def refuses(module: Module, target: str) -> str:
        own, other = top_of(module.name), top_of(target)
        if not is_ours(target) or own not in MAY_IMPORT or (module.is_doorway and target.startswith(DOORWAYS_MAY_ALSO)):
            return ""
        allowed = MAY_IMPORT[own] | PROGRAMS.get(module.name, set())
        return "" if other in allowed else f"{own} stands before {other} in the flow, or below it"

    yield from objections(tree, refuses)


def every_module_has_its_place(tree: Tree) -> Iterator[str]:
    for module in tree.values():
        if top_of(module.name) not in MAY_IMPORT:
            yield f"{module.path} has no place yet. Fix: say in MAY_IMPORT what it may import, or move it into a room"


def only_definitions_opens_the_doorways(tree: Tree) -> Iterator[str]:
    def refuses(module: Module, target: str) -> str:
        is_doorway = target in tree and tree[target].is_doorway
        closed = is_doorway and module.name != f"{PACKAGE}.definitions"
        return "only definitions.py imports an assets.py; assets name each other by key" if closed else ""

    yield from objections(tree, refuses)


def libraries_stay_in_their_modules(tree: Tree) -> Iterator[str]:
    def refuses(module: Module, target: str) -> str:
        path = module.path.removeprefix(f"{PACKAGE}/")
        for libraries, homes in LIBRARY_HOMES.items():
            at_home = any(path.startswith(home) if home.endswith("/") else path == home for home in homes)
            if target.split(".", maxsplit=1)[0] in libraries and not at_home:
                return f"only in {', '.join(homes)}" if homes else "nowhere in memloop"
        return ""

    yield from objections(tree, refuses)


def imports_are_absolute(tree: Tree) -> Iterator[str]:
    yield from objections(tree, lambda _, target: "write the whole path" if target.startswith(".") else "")


def annotations_are_not_postponed(tree: Tree) -> Iterator[str]:
    reason = "it breaks Dagster's context and Config annotations"
    yield from objections(tree, lambda _, target: reason if target == "__future__" else "")


def the_client_reaches_numpy_alone(tree: Tree) -> Iterator[str]:
    reached = {name for name in CLIENT_SIDE if name in tree}
    waiting = sorted(reached)
    while waiting:
        module = tree[waiting.pop()]
        for found in imports_of(module, tree):
            root = found.target.split(".")[0]
            if root not in {"numpy", PACKAGE, *sys.stdlib_module_names}:
                yield f"{module.path}:{found.line} imports {found.target}: the client loads numpy and nothing else"
            if found.target in tree and found.target not in reached:
                reached.add(found.target)
                waiting.append(found.target)
    rooms = {name for name in reached if top_of(name) in ROOMS and f"{PACKAGE}/{top_of(name)}/" in tree[name].path}
    for name in sorted(rooms - CLIENT_ROOM_MODULES - {f"{PACKAGE}.routing"}):
        yield f"{tree[name].path} is reached by the client: of the rooms it may load what serves a router"


RULES: tuple[Rule, ...] = (
    dagster_stays_behind_the_doorways,
    rooms_follow_the_flow,
    every_module_has_its_place,
    only_definitions_opens_the_doorways,
    libraries_stay_in_their_modules,
    imports_are_absolute,
    annotations_are_not_postponed,
    the_client_reaches_numpy_alone,
)

# Rule, a tree that breaks it in one place, and the file that must be named.
BROKEN: tuple[tuple[Rule, dict[str, str], str], ...] = (
    (dagster_stays_behind_the_doorways, {"datasets/samples.py": "import dagster as dg"}, "datasets/samples.py:1"),
    (dagster_stays_behind_the_doorways, {"cli.py": "from dagster_shared import x"}, "cli.py:1"),
    (dagster_stays_behind_the_doorways, {"store.py": "def late():\n    import dagster"}, "store.py:2"),
    (rooms_follow_the_flow, {"datasets/samples.py": "import memloop_assets.routing.router"}, "datasets/samples.py:1"),
    (rooms_follow_the_flow, {"store.py": "from memloop_assets.datasets import snapshot"}, "store.py:1"),
    (rooms_follow_the_flow, {"store.py": "from memloop_assets import cli", "cli.py": ""}, "store.py:1"),
    (rooms_follow_the_flow, {"routing/versions.py": "from memloop_assets.home import Home"}, "versions.py:1"),
    (rooms_follow_the_flow, {"client.py": "from memloop_assets.promotion import policy"}, "client.py:1"),
    (rooms_follow_the_flow, {"routing/assets.py": "import memloop_assets.orchestration.jobs"}, "routing/assets.py:1"),
    (
        rooms_follow_the_flow,
        {"routing/router.py": "import memloop_assets.orchestration.partitions"},
        "routing/router.py",
    ),
    (rooms_follow_the_flow, {"cli.py": "from memloop_assets.definitions import defs"}, "cli.py:1"),
    (every_module_has_its_place, {"gadgets.py": ""}, "gadgets.py"),
    (
        only_definitions_opens_the_doorways,
        {"routing/assets.py": "from memloop_assets.datasets import assets", "datasets/assets.py": ""},
        "routing/assets.py:1",
    ),
    (
        only_definitions_opens_the_doorways,
        {"orchestration/jobs.py": "from memloop_assets.datasets.assets import x", "datasets/assets.py": ""},
        "orchestration/jobs.py:1",
    ),
    (libraries_stay_in_their_modules, {"routing/router.py": "from sklearn.linear_model import Ridge"}, "router.py:1"),
    (libraries_stay_in_their_modules, {"store.py": "import sqlalchemy as sa"}, "store.py:1"),
    (libraries_stay_in_their_modules, {"adapters/lora.py": "import torch"}, "adapters/lora.py:1"),
    (libraries_stay_in_their_modules, {"review/decisions.py": "import starlette.routing"}, "decisions.py:1"),
    (imports_are_absolute, {"routing/training.py": "from .router import Router"}, "routing/training.py:1"),
    (imports_are_absolute, {"routing/training.py": "from . import router", "routing/router.py": ""}, "training.py:1"),
    (annotations_are_not_postponed, {"weeks.py": "from __future__ import annotations"}, "weeks.py:1"),
    (
        the_client_reaches_numpy_alone,
        {"client.py": "from memloop_assets import store", "store.py": "import pyarrow as pa"},
        "store.py:1",
    ),
    (
        the_client_reaches_numpy_alone,
        {"client.py": "from memloop_assets.routing import versions", "routing/versions.py": ""},
        "routing/versions.py",
    ),
)

ALLOWED = {
    "__init__.py": "",
    "store.py": "import os\nimport pyarrow\nfrom memloop_assets.errors import TableError",
    "errors.py": "",
    "state.py": "import sqlalchemy",
    "migrations/env.py": "import alembic",
    "client.py": "from memloop_assets.routing import router\nfrom memloop_assets.errors import MemloopError",
    "routing/__init__.py": "",
    "routing/router.py": "import json\nimport numpy as np",
    "routing/growing.py": "def fit():\n    from sklearn.linear_model import Ridge",
    "routing/assets.py": "import dagster as dg\nfrom memloop_assets.orchestration import week_loop\n"
    "from memloop_assets.datasets.samples import x\nfrom memloop_assets.routing.training import fit",
    "datasets/samples.py": "from memloop_assets.trajectories import tables",
    "trajectories/tables.py": "",
    "orchestration/week_loop.py": "import dagster",
    "definitions.py": "import dagster\nfrom memloop_assets.routing import assets",
    "simulate.py": "from memloop_assets.weeks import IsoWeek",
    "weeks.py": "",
    "cli.py": "from memloop_assets import client, simulate\nfrom memloop_assets.routing import versions",
    "routing/versions.py": "",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_memloop_keeps_the_rule(rule: Rule) -> None:
    assert list(rule(read_package(ROOT))) == []


@pytest.mark.parametrize(("rule", "sources", "culprit"), BROKEN)
def test_a_rule_objects_to_what_breaks_it(rule: Rule, sources: dict[str, str], culprit: str, tmp_path: Path) -> None:
    objected = list(rule(write_package(tmp_path, sources)))
    assert len(objected) == 1
    assert culprit in objected[0]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_lets_pass_what_the_architecture_allows(rule: Rule, tmp_path: Path) -> None:
    assert list(rule(write_package(tmp_path, ALLOWED))) == []


def test_no_rule_goes_unbroken() -> None:
    assert {rule for rule, _, _ in BROKEN} == {*RULES}
