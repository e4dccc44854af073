"""The three controls in the loop: every compared week's decision and report carry them, and a week without its twin is an error."""

import json
import math
import tempfile
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.aa_error_rates import compare_twins
from benchmarks.learning_and_refusal import read_world
from memloop_assets.benchmarks.tables import BENCHMARK_RESULTS
from memloop_assets.benchmarks.weekly import TWIN
from memloop_assets.home import Home
from memloop_assets.promotion.attempts import Attempts
from memloop_assets.promotion.controls import AA_TWIN, NO_OP
from memloop_assets.promotion.evidence import Sources
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.weekly import decide
from memloop_assets.routing.training import TrainingSettings
from memloop_assets.simulate import World
from memloop_assets.store import Provenance
from memloop_assets.weeks import IsoWeek, weeks_between
from memloop_tests.scenario import FIRST, LAST_RUN, LONG_AFTER, decision_of, finished_home

WEEKS = list(weeks_between(FIRST, LAST_RUN))


def section_of(home: Home, week: IsoWeek) -> str:
    page = Attempts(home.state, home.places.training_reports).path_of(week, 1).with_suffix(".md").read_text("utf-8")
    return page[page.index("## Controls") : page.index("## Where it comes from")]


def test_every_week_that_compared_shows_the_three_controls_beside_its_decision(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    for week in WEEKS:
        row = decision_of(home, week)
        found = {one["name"]: one for one in json.loads(row["findings_json"])}
        assert {AA_TWIN, NO_OP, "shuffled"} <= set(found)
        assert "reject, the same choices throughout" in found[NO_OP]["sentence"]
        assert not found[NO_OP]["is_against"]
        assert not found[AA_TWIN]["is_against"]
        assert json.loads(row["metrics_json"])["aa_promoted_count"] == (
            "would promote it" in found[AA_TWIN]["sentence"]
        )
        section = section_of(home, week)
        assert all(found[name]["sentence"] in section for name in (AA_TWIN, NO_OP, "shuffled"))
        assert "**missing**" not in section


def test_twins_of_a_known_world_differ_by_luck_of_which_the_truth_is_small() -> None:
    """A small piece of ``benchmarks/aa_error_rates.py``: three pairs of seeds on all samples of one world."""
    world = World(first_week=FIRST, seed=0, week_count=4, trajectories_per_week=150)
    with tempfile.TemporaryDirectory(prefix="memloop-tests-") as folder:
        samples, suite = read_world(world, Path(folder), task_count=320)
    everything = {world.weeks[-1]: pa.concat_tables(samples.values())}
    pairs = list(compare_twins(world, everything, suite, pairs=3, truth_tasks=500))
    assert [one.seed for one in pairs] == [0, 2, 4]
    assert all(0.0 < one.changed_ratio < 0.5 for one in pairs)
    assert len({one.measured for one in pairs}) == len(pairs)
    assert abs(pairs[0].true) < 0.02
    assert all(one.outcome in {"hold", "reject"} and math.isnan(one.true) for one in pairs[1:])


def test_a_week_whose_twin_was_not_scored_is_an_error_that_names_it(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    week = LAST_RUN
    rows = home.store.read(BENCHMARK_RESULTS.name, week)
    manifest = home.store.manifest(BENCHMARK_RESULTS.name, week)
    without = rows.filter(pc.not_equal(rows["policy"], TWIN))
    home.store.publish(BENCHMARK_RESULTS, week, without, Provenance(manifest["inputs"]))
    sources = Sources(
        home.store, home.ledger, home.places.router_versions, home.arm_prices, TrainingSettings(), home.first_week
    )
    decision = decide(week, sources, PromotionPolicy(), datetime.fromisoformat(LONG_AFTER)).decision
    assert decision.outcome == "error"
    assert "'aa-twin' has no rows" in decision.reasons[0]
