"""The demo: a simulated fleet in a home of its own, its logs through the whole loop, and the truth beside what the loop decided.

The simulated world knows what every arm is truly worth; the loop sees only the logs and the benchmark table.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten

from memloop_assets.benchmarks.long_table import import_long_table
from memloop_assets.benchmarks.suite import save_suite
from memloop_assets.dagster_process import run_backfill
from memloop_assets.errors import BadInput
from memloop_assets.home import Home, open_home_now
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.routing.checkpoint import load_checkpoint
from memloop_assets.routing.versions import BUILT_IN
from memloop_assets.settings import Settings
from memloop_assets.simulate import (
    ARMS,
    TruePerformance,
    World,
    best_single_arm_performance,
    evaluate_policy,
    oracle_performance,
    write_benchmark,
    write_logs,
)
from memloop_assets.trajectories.sources import ReadOptions, find_logs
from memloop_assets.weeks import IsoWeek

_MARK = ".memloop-demo"
_BENCHMARK_TASKS = 1_600
_HOLDOUT_SHARE = 0.8


def run_demo(project: Path, first: IsoWeek, week_count: int, seed: int, environment: Mapping[str, str]) -> int:
    """Make the demo's home anew below the project's data folder, run the loop over it and print what came of it."""
    folder = project / Settings(home=project).data_home / "demo"
    _clear(folder)
    world = World(first_week=first, week_count=week_count, seed=seed)
    print(
        f"1/4 simulate: {week_count} closed weeks, {world.weeks[0]}..{world.weeks[-1]}, a fleet of {len(ARMS)} arms",
        flush=True,
    )
    written = write_logs(world, folder / "logs")
    write_benchmark(world, folder / "benchmark.parquet", _BENCHMARK_TASKS)
    (folder / "memloop.toml").write_text(_settings_text(first), encoding="utf-8")
    home = open_home_now(folder, environment)
    print(
        f"2/4 ingest: {written.trajectory_count:,} task attempts in {len(written.files)} files, and a benchmark",
        flush=True,
    )
    for path in find_logs(folder / "logs"):
        home.landing.ingest(path, ReadOptions())
    save_suite(
        import_long_table(folder / "benchmark.parquet", name="demo", holdout_share=_HOLDOUT_SHARE),
        home.places.benchmark_suite,
    )
    print("3/4 backfill: every asset, every week, one run of one process", flush=True)
    status = run_backfill(folder, world.weeks[0], world.weeks[-1], environment)
    if status:
        return status
    print("4/4 what the gate decided, and the truth that it never saw", flush=True)
    _print_story(home, world)
    shown = folder.relative_to(project)
    print(f"\nLook at it:  .venv/bin/memloop --home {shown} ui    then open http://127.0.0.1:3000")
    print(f"Leave it:    rm -r {shown}    (your own data is elsewhere and was not touched)")
    return 0


def _clear(folder: Path) -> None:
    """Remove an earlier demo; anything that is no demo is left alone."""
    if folder.exists() and not (folder / _MARK).exists() and any(folder.iterdir()):
        raise BadInput(str(folder), "it holds something that is not a demo", "move it away, then run the demo again")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / _MARK).write_text("made by `memloop demo`; removed by the next one\n", encoding="utf-8")


def _settings_text(first: IsoWeek) -> str:
    arms = "".join(
        f'\n[arms.{name}]\nkind = "{arm.kind}"\nusd_per_call = {arm.price_usd!r}\n' for name, arm in ARMS.items()
    )
    return f'# The demo\'s own home. Everything else is at its default.\nfirst_week = "{first}"\n{arms}'


def _print_story(home: Home, world: World) -> None:
    print("            the gate                                         true reward and cost per 1,000 calls")
    print(
        "week      outcome  utility difference [bound]   champion after    reward    USD    best single arm                why"
    )
    for week in world.weeks:
        row = home.store.read("promotion_decision", week).to_pylist()[0]
        best_arm, best = best_single_arm_performance(world, week)
        truth = _true_performance(home, world, week, row["champion_after"])
        delta, lower = row["utility_delta"], row["utility_delta_lower"]
        interval = f"{delta:+.3f} [{lower:+.3f}]" if delta is not None and lower is not None else "-"
        print(
            f"{week}  {row['outcome']:<7}  {interval:<27}  {row['champion_after']:<16}  "
            f"{truth.reward:.3f}  {1000 * truth.cost_usd:6.3f}    {best.reward:.3f} at {1000 * best.cost_usd:.3f} ({best_arm})  "
            f"{shorten(json.loads(row['reasons_json'])[0], 72, placeholder=' …')}"
        )
    oracle = oracle_performance(world, week)
    kept, cost = truth.reward / best.reward, truth.cost_usd / best.cost_usd
    weight = PromotionPolicy().cost_weight
    gained, most = (
        one.reward - best.reward - weight * (one.cost_usd - best.cost_usd) / best.cost_usd for one in (truth, oracle)
    )
    print(
        f"last champion: {kept:.1%} of the best single arm's true reward at {cost:.1%} of its cost (oracle {oracle.reward:.3f}); "
        f"{gained / most:.0%} of the oracle's gain net of cost"
    )


def _true_performance(home: Home, world: World, week: IsoWeek, version: str) -> TruePerformance:
    """Return what a champion is truly worth in a week; the built-in policy is worth what the truly best single arm is."""
    if version == BUILT_IN:
        return best_single_arm_performance(world, week)[1]
    router = load_checkpoint(home.places.router_versions, version)
    return evaluate_policy(world, week, lambda text, domain: router.choose(text, domain=domain).arm)
