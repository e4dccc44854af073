"""The ``memloop benchmark`` commands: build, import, list, show, use.

Only parsing, calling and printing belong here, as in ``cli``; what is counted and said is in the room ``benchmarks``.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from memloop_assets.benchmarks.building import BuildOptions, build_suite
from memloop_assets.benchmarks.long_table import import_long_table
from memloop_assets.benchmarks.standing import shortage_of
from memloop_assets.benchmarks.suite import BenchmarkSuite, load_suite, save_suite
from memloop_assets.benchmarks.summary import GateNeeds, build_lines, gaps_file, head_line, list_lines, show_lines
from memloop_assets.benchmarks.trials import ORIGINS_OF_TRIALS, gather_trials
from memloop_assets.benchmarks.versions import find_suite, saved_suites
from memloop_assets.errors import BadInput
from memloop_assets.home import Home, is_home, open_home_now
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.settings import Settings, load_settings
from memloop_assets.store import write_atomically
from memloop_assets.trajectories.redaction import RedactionSettings
from memloop_assets.weeks import parse_week_range

_NO_TASK = "widen --weeks, choose fewer arms with --arm, lower --min-arms, or fill the gaps (--gaps FILE lists them)"
_FILL = "run each prompt with its arm, log it, `memloop ingest --origin benchmark`"


def add_benchmark(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command ``benchmark`` and its actions to a parser."""
    benchmark = commands.add_parser("benchmark", help="the frozen tasks that the gate compares on")
    actions = benchmark.add_subparsers(required=True, metavar="ACTION")
    _add_build(actions)

    imported = actions.add_parser(
        "import", help="import a long table: task_id, prompt, domain, arm, reward[, cost_usd, latency_ms]"
    )
    imported.add_argument("path", type=Path, help="a .parquet or .csv file")
    imported.add_argument("--name", help="name of the benchmark (default: the file's name)")
    _add_holdout_share(imported)
    imported.set_defaults(run=_import, makes_home=True)

    listed = actions.add_parser("list", help="every benchmark that was ever in use, and which one is")
    listed.set_defaults(run=_list)

    shown = actions.add_parser("show", help="one benchmark: tasks, split, arms, source, power")
    shown.add_argument("name", nargs="?", help="a name, or the beginning of a version (default: the one in use)")
    shown.set_defaults(run=_show)

    used = actions.add_parser("use", help="go back to a benchmark that was in use before")
    used.add_argument("name", help="a name, or the beginning of a version")
    used.set_defaults(run=_use)


def _add_build(actions: "argparse._SubParsersAction[Any]") -> None:
    build = actions.add_parser("build", help="freeze the tasks that several arms tried in the ingested logs")
    build.add_argument("--weeks", help="FROM..TO, or one week (default: every week with logs)")
    build.add_argument("--name", default="own", help="name of the benchmark (default: own)")
    _add_holdout_share(build)
    build.add_argument(
        "--arm", action="append", default=[], help="an arm to compare; repeat it (default: every arm tried)"
    )
    build.add_argument(
        "--min-arms", type=int, help="keep tasks that so many of the arms tried (default: all); the rest stays unknown"
    )
    build.add_argument(
        "--origin",
        choices=[*ORIGINS_OF_TRIALS, "both"],
        default="both",
        help="trials of live traffic, shadow calls (logs ingested with --origin benchmark), or both (default)",
    )
    build.add_argument(
        "--gaps", type=Path, help="write the missing outcomes to this CSV file: the shadow calls to make"
    )
    build.add_argument("--check", action="store_true", help="tell what would be built, and save no benchmark")
    build.set_defaults(run=_build)


def _add_holdout_share(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--holdout-share", type=float, default=0.5, help="share of tasks that never teach, 0 to 1 (default: 0.5)"
    )


def _build(arguments: argparse.Namespace, folder: Path) -> int:
    settings = load_settings(folder, os.environ)
    options = BuildOptions(
        arguments.name, arguments.holdout_share, tuple(arguments.arm), arguments.min_arms, tuple(settings.arms)
    )
    if arguments.gaps:
        _refuse_gaps_file(arguments.gaps)
    wanted = parse_week_range(arguments.weeks) if arguments.weeks else None
    home = open_home_now(folder, os.environ)
    logged = home.landing.weeks()
    if not logged:
        raise BadInput("benchmark build", "no logs are ingested", "memloop ingest PATH")
    origins = ORIGINS_OF_TRIALS if arguments.origin == "both" else (arguments.origin,)
    tried = gather_trials(home.landing, home.settings, wanted or (logged[0], logged[-1]), origins)
    built = build_suite(tried, options)
    print(*build_lines(built, tried, _needs(home.settings)), sep="\n")
    if arguments.gaps and built.gaps:
        write_atomically(arguments.gaps, gaps_file(built.gaps).encode())
        print(f"gaps written to {arguments.gaps}: {_FILL}")
    elif arguments.gaps:
        print(f"no gaps: nothing was written to {arguments.gaps}")
    if not built.kept:
        fix = f"fill the gaps in {arguments.gaps}: {_FILL}" if arguments.gaps and built.gaps else _NO_TASK
        raise BadInput("benchmark build", "no task was tried by enough arms, so there is nothing to save", fix)
    if not arguments.check:
        _save(home, built.suite)
    return 0


def _refuse_gaps_file(path: Path) -> None:
    """Raise BadInput where the gaps cannot be written, or would replace a file that is no such list."""
    if path.is_dir() or not path.parent.is_dir():
        raise BadInput("--gaps", f"{path} cannot be written", "name a file in a folder that exists")
    if path.exists() and not path.read_bytes().startswith(gaps_file(()).strip().encode()):
        raise BadInput("--gaps", f"{path} lies there and is no list of gaps", "name another file")


def _import(arguments: argparse.Namespace, folder: Path) -> int:
    settings = load_settings(folder, os.environ)
    suite = import_long_table(
        arguments.path,
        name=arguments.name or arguments.path.stem,
        holdout_share=arguments.holdout_share,
        rules=settings.section("redaction", RedactionSettings).rules,
    )
    if not is_home(folder):
        print(f"new home  {folder}")
    _save(open_home_now(folder, os.environ), suite)
    return 0


def _list(_arguments: argparse.Namespace, folder: Path) -> int:
    path = load_settings(folder, os.environ).places.benchmark_suite
    lines = [*list_lines(saved_suites(path), load_suite(path).fingerprint if path.exists() else None)]
    print(*lines, *([shortage] if (shortage := shortage_of(path)) else []), sep="\n")
    return 0


def _show(arguments: argparse.Namespace, folder: Path) -> int:
    settings = load_settings(folder, os.environ)
    path = settings.places.benchmark_suite
    suite = find_suite(path, arguments.name)
    is_in_use = path.exists() and load_suite(path).fingerprint == suite.fingerprint
    print(*show_lines(suite, _needs(settings), is_in_use=is_in_use), sep="\n")
    return 0


def _use(arguments: argparse.Namespace, folder: Path) -> int:
    home = open_home_now(folder, os.environ)
    _save(home, find_suite(home.places.benchmark_suite, arguments.name))
    return 0


def _save(home: Home, suite: BenchmarkSuite) -> None:
    save_suite(suite, home.places.benchmark_suite)
    print(head_line(suite), *_after_saving(home, suite), sep="\n")


def _after_saving(home: Home, suite: BenchmarkSuite) -> Iterator[str]:
    """Yield what follows for weeks that were built under another benchmark."""
    holdout = {task.key for task in suite.tasks_of("holdout")}
    built = [week for week in home.store.weeks("dataset_snapshot") if home.store.is_readable("dataset_snapshot", week)]
    if built:
        taught = holdout.intersection(
            home.store.read("dataset_snapshot", built[-1], ["task_key"])["task_key"].to_pylist()
        )
        if taught:
            yield (
                f"note: {len(taught):,} of {len(holdout):,} holdout tasks have taught until now; from the next backfill on they do not. "
                "A champion trained on them keeps what it learned: that flatters it, never a challenger"
            )
    logged = home.landing.weeks()
    if logged:
        yield f"next: memloop backfill {logged[0]}..{logged[-1]}"


def _needs(settings: Settings) -> GateNeeds:
    policy = settings.section("promotion", PromotionPolicy)
    return GateNeeds(policy.required_task_count, policy.max_unsupported_ratio, policy.reward_margin, policy.confidence)
