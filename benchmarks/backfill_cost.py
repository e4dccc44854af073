"""What the loop adds to its own functions: CPU of a long backfill in one run, and of one week again on a small and a large home.

1. A backfill of all assets over N weeks in one run, beside the sum of (a) the same functions called directly on the same weeks, storage
   and pictures included, without Dagster's part (imports are not counted), and (b) a graph of the same shape that does nothing but emit
   the metadata that these functions made; and beside one process per week, measured on a few weeks.
2. The assets of the last week again, each called directly, on homes with 13 and 104 weeks: the least CPU of several times.

It measures the simulated fleet on SQLite, serially. It does not measure wall time, the daemon's ticks, PostgreSQL, or parallel runs.

    python benchmarks/backfill_cost.py [--weeks 52] [--trajectories 200] [--part backfill|disk]
"""

import argparse
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).resolve()
FIRST = "2024-W02"
UP_TO_SAMPLES = (
    *("session_logs", "trajectories", "quarantined_lines", "trajectory_quality"),
    *("sft_examples", "preference_pairs", "router_samples"),
)
BEYOND = ("dataset_snapshot", "router_checkpoint")
PER_WEEK_SHOWN = 3
REPEATS = 5


def cpu_of(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Run a program quietly and return its CPU seconds."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, env=dict(environment))  # noqa: S603  # our own
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command[:3])} ended with status {status}")
    return usage.ru_utime + usage.ru_stime


def make_home(folder: Path, weeks: int, trajectories: int) -> None:
    """Make a home with ingested logs and a benchmark, nothing built yet."""
    from memloop_assets.benchmarks.long_table import import_long_table
    from memloop_assets.benchmarks.suite import save_suite
    from memloop_assets.dagster_process import prepare_instance
    from memloop_assets.orchestration.resources import MemloopHome
    from memloop_assets.simulate import World, write_benchmark, write_logs
    from memloop_assets.trajectories.sources import ReadOptions, find_logs
    from memloop_assets.weeks import IsoWeek

    folder.mkdir(parents=True)
    (folder / "memloop.toml").write_text(f'first_week = "{FIRST}"\n')
    prepare_instance(folder)
    world = World(first_week=IsoWeek.parse(FIRST), week_count=weeks, trajectories_per_week=trajectories)
    write_logs(world, folder / "logs")
    write_benchmark(world, folder / "benchmark.parquet", 400)
    home = MemloopHome(folder=str(folder)).open()
    for path in find_logs(folder / "logs"):
        home.landing.ingest(path, ReadOptions())
    suite = import_long_table(folder / "benchmark.parquet", name="simulated", holdout_share=0.8)
    save_suite(suite, home.places.benchmark_suite)


class Context:
    """What the assets ask of Dagster's context, answered by itself: the weeks of the run; it keeps what they report."""

    def __init__(self, name: str, keys: Sequence[str]) -> None:
        """Keep the weeks."""
        self.asset_key = name
        self.partition_keys = keys
        self.run = SimpleNamespace(run_id="direct")
        self.log = SimpleNamespace(info=lambda *_: None)
        self.told: dict[str, Mapping[str, Any]] = {}

    def add_asset_metadata(self, metadata: Mapping[str, Any], partition_key: str) -> None:
        """Keep what a week reports."""
        self.told[partition_key] = metadata


def callers(folder: Path) -> dict[str, Callable[[Sequence[str]], tuple[Context, Any]]]:
    """Return, for every asset in flow order, what calls its function on some weeks without Dagster."""
    from memloop_assets.definitions import defs
    from memloop_assets.orchestration.resources import MemloopHome
    from memloop_assets.promotion.assets import PolicyConfig, ReportConfig

    home = MemloopHome(folder=str(folder))
    more: dict[str, dict[str, Any]] = {
        "promotion_decision": {"config": PolicyConfig()},
        "training_report": {"config": ReportConfig()},
    }

    def caller(asset: Any) -> Callable[[Sequence[str]], tuple[Context, Any]]:
        def call(keys: Sequence[str]) -> tuple[Context, Any]:
            context = Context(asset.key.path[-1], keys)
            has_context = asset.partitions_def is not None
            given = {**({"context": context} if has_context else {}), "home": home, **more.get(context.asset_key, {})}
            result = asset.op.compute_fn.decorated_fn(**given)
            return context, next(result) if context.asset_key == "training_report" else result

        return call

    layer = defs.resolve_asset_graph()
    assets = {key: defs.resolve_assets_def(key) for keys in layer.toposorted_asset_keys_by_level for key in keys}
    return {key.path[-1]: caller(asset) for key, asset in assets.items()}


def keys_of(weeks: int, last: int | None = None) -> list[str]:
    """Return the partition keys of the first N weeks, or of the last few of them."""
    from memloop_assets.weeks import IsoWeek

    return [IsoWeek.parse(FIRST).shift(number).key for number in range(weeks)][-(last or weeks) :]


def call_directly(folder: Path, weeks: int) -> None:
    """Call every asset's function on all weeks; keep what they report, print the CPU that they took."""
    calls = callers(folder)
    told: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    start = time.process_time()
    for name, call in calls.items():
        context, result = call(keys_of(weeks))
        told[name] = (dict(context.told), dict(result.metadata or {}))
    print(time.process_time() - start)
    (folder / "told.pickle").write_bytes(pickle.dumps(told))


def run_noop_graph(folder: Path, weeks: int) -> None:
    """Run a graph of the loop's shape over all weeks, whose assets only emit the metadata that was kept."""
    import dagster as dg

    from memloop_assets.definitions import defs
    from memloop_assets.orchestration.resources import MemloopHome
    from memloop_assets.orchestration.run_tags import range_tags
    from memloop_assets.orchestration.week_loop import CHECK_NAME
    from memloop_assets.weeks import IsoWeek

    told = pickle.loads((folder / "told.pickle").read_bytes())  # noqa: S301  # written by this script a moment ago

    def idle(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
        spec = asset.get_asset_spec(asset.key)
        name = asset.key.path[-1]
        checks = [dg.AssetCheckSpec(CHECK_NAME, asset=name)] if asset.check_keys else []

        @dg.asset(
            name=name,
            deps=spec.deps,
            partitions_def=asset.partitions_def,
            backfill_policy=asset.backfill_policy,
            group_name=spec.group_name,
            kinds=spec.kinds,
            metadata=spec.metadata,
            owners=spec.owners,
            check_specs=checks,
            hooks=asset.hook_defs,
        )
        def emit(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            weekly, whole = told[name]
            for key, metadata in weekly.items():
                context.add_asset_metadata(metadata, partition_key=key)
                context.log.info("%s %s", name, key)
            found = [dg.AssetCheckResult(check_name=CHECK_NAME, passed=True)] if checks else []
            return dg.MaterializeResult(metadata=whole, check_results=found)

        return emit

    graph = dg.Definitions(
        assets=[idle(asset) for asset in defs.resolve_asset_graph().assets_defs if len(asset.keys) == 1],
        jobs=[dg.define_asset_job("idle", executor_def=dg.in_process_executor)],
        resources={"home": MemloopHome()},
    )
    with dg.DagsterInstance.get() as instance:
        ends = IsoWeek.parse(keys_of(weeks)[0]), IsoWeek.parse(keys_of(weeks)[-1])
        config = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
        graph.resolve_job_def("idle").execute_in_process(instance=instance, tags=range_tags(*ends), run_config=config)


def repeat_last_week(folder: Path, weeks: int) -> None:
    """Build what the last week needs, then its assets several times; print the least CPU of each as JSON."""
    calls = callers(folder)
    calls["benchmark_suite"]([])
    for name in (*UP_TO_SAMPLES, "dataset_snapshot"):
        calls[name](keys_of(weeks, 1) if name == "dataset_snapshot" else keys_of(weeks))
    least: dict[str, float] = {}
    for _ in range(REPEATS):
        for name in (*UP_TO_SAMPLES, *BEYOND):
            start = time.process_time()
            calls[name](keys_of(weeks, 1))
            least[name] = min(least.get(name, 1e9), time.process_time() - start)
    print(json.dumps(least))


def part(name: str, folder: Path, weeks: int, trajectories: int) -> list[str]:
    """Return the command of one part of this script."""
    return [
        str(HERE),
        "--as",
        name,
        "--folder",
        str(folder),
        "--weeks",
        str(weeks),
        "--trajectories",
        str(trajectories),
    ]


def environment_of(folder: Path) -> dict[str, str]:
    """Return the environment of a process that serves a home."""
    served = {"DAGSTER_HOME": str(folder), "MEMLOOP_HOME": str(folder), "DAGSTER_DISABLE_TELEMETRY": "1"}
    return {**os.environ, **served, "PYTHONPATH": str(HERE.parents[1]), "PYTHONWARNINGS": "ignore"}


def output_of(command: Sequence[str], folder: Path) -> str:
    """Run a part and return the last line that it printed."""
    done = subprocess.run(  # noqa: S603  # our own
        [sys.executable, *command], env=environment_of(folder), check=True, stdout=subprocess.PIPE
    )
    return done.stdout.decode().splitlines()[-1]


def compare_backfill(folder: Path, weeks: int, trajectories: int) -> None:
    """Print what a backfill in one run costs beside its parts, and beside one process per week."""
    output_of(part("home", folder / "direct", weeks, trajectories), folder / "direct")
    shutil.copytree(folder / "direct", folder / "run")
    shutil.copytree(folder / "direct", folder / "idle")
    direct = float(output_of(part("direct", folder / "direct", weeks, trajectories), folder / "direct"))
    shutil.copy(folder / "direct" / "told.pickle", folder / "idle")
    idle = cpu_of(part("idle", folder / "idle", weeks, trajectories), environment_of(folder / "idle"))
    served = environment_of(folder / "run")
    backfill = ["-m", "memloop_assets.orchestration.backfill"]
    names = [key.removesuffix("-1") for key in keys_of(weeks)]
    whole = cpu_of([*backfill, names[0], names[-1]], served)
    print(f"{weeks} weeks, {trajectories} trajectories each; CPU-s")
    print(f"  functions called directly   {direct:7.1f}")
    print(f"  graph that does nothing     {idle:7.1f}")
    print(f"  backfill in one run         {whole:7.1f}   {whole / (direct + idle):.2f} times the sum")
    shown = [names[place * (weeks - 1) // (PER_WEEK_SHOWN - 1)] for place in range(PER_WEEK_SHOWN)]
    each = [cpu_of([*backfill, name, name], served) for name in shown]
    total = sum(each) / len(each) * weeks
    told = ", ".join(f"{cost:.1f}" for cost in each)
    print(
        f"  one process per week        {total:7.1f}   {total / whole:.1f} times the one run ({told} for {', '.join(shown)})"
    )


def compare_disk(folder: Path, trajectories: int) -> None:
    """Print what one week's tables cost again on a home of 13 weeks and on one of 104."""
    costs = []
    for weeks in (13, 104):
        home = folder / f"of-{weeks}"
        output_of(part("home", home, weeks, trajectories), home)
        costs.append(json.loads(output_of(part("repeat", home, weeks, trajectories), home)))
    small, large = costs
    print(f"the last week again, {trajectories} trajectories; CPU-ms with 13 and with 104 weeks on disk")
    sums = [sum(cost[name] for name in UP_TO_SAMPLES) for cost in costs]
    for name in (*UP_TO_SAMPLES, *BEYOND):
        print(f"  {name:<20} {small[name] * 1e3:8.0f} {large[name] * 1e3:8.0f}   {large[name] / small[name]:.2f}")
    print(f"  {'up to router_samples':<20} {sums[0] * 1e3:8.0f} {sums[1] * 1e3:8.0f}   {sums[1] / sums[0]:.2f}")


def main() -> None:
    """Measure and print, or run one part as a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--trajectories", type=int, default=200)
    parser.add_argument("--part", choices=("backfill", "disk"))
    parser.add_argument("--as", dest="role", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.role == "home":
        make_home(asked.folder, asked.weeks, asked.trajectories)
        print("made")
    elif asked.role:
        roles = {"direct": call_directly, "idle": run_noop_graph, "repeat": repeat_last_week}
        roles[asked.role](asked.folder, asked.weeks)
    else:
        with tempfile.TemporaryDirectory(prefix="memloop-backfill-") as name:
            if asked.part != "disk":
                compare_backfill(Path(name), asked.weeks, asked.trajectories)
            if asked.part != "backfill":
                compare_disk(Path(name), asked.trajectories)


if __name__ == "__main__":
    main()
