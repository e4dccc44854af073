"""Attacks on the evidence: results of another challenger or benchmark than the one named, and looks that were none."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from memloop_assets.datasets.snapshot import read_samples
from memloop_assets.home import Home
from memloop_assets.promotion.evidence import count_remembered, gather_week
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.tables import PROMOTION_DECISION
from memloop_assets.promotion.week_rules import decide_week
from memloop_assets.promotion.weekly import decide
from memloop_assets.routing.training import fit_router
from memloop_assets.store import Provenance
from memloop_assets.weeks import IsoWeek
from memloop_tests.promotion.test_evidence import MIDDLE, gather, sources_of
from memloop_tests.scenario import (
    LAST_RUN,
    LONG_AFTER,
    WORLD,
    finished_home,
    import_benchmark,
    run_weeks_through_dagster,
    write_settings,
)


def outcome_of(home: Home) -> str:
    now = datetime.fromisoformat(LONG_AFTER)
    return decide(MIDDLE, sources_of(home), PromotionPolicy(), now).decision.outcome


def test_results_of_another_challenger_than_the_one_named_decide_nothing(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    before = gather(home).challenger_version
    write_settings(tmp_path / "home", "[routing]\npenalty = 900.0\n")
    assert run_weeks_through_dagster(tmp_path / "home", MIDDLE, assets=["router_checkpoint"]).success
    found = gather(home)
    assert found.challenger_version != before
    told = f"benchmark_results {MIDDLE} (it was built on another router_checkpoint)"
    assert told in found.evidence.failed_inputs
    assert outcome_of(home) == "error"


def test_a_challenger_that_learned_before_the_benchmark_changed_is_not_judged_by_it(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    import_benchmark(home, WORLD, task_count=200)
    assets = ["benchmark_suite", "benchmark_results"]
    assert run_weeks_through_dagster(tmp_path / "home", MIDDLE, assets=assets).success
    assert gather(home).evidence.failed_inputs == (
        f"dataset_snapshot {MIDDLE} (it was built on another benchmark_suite)",
    )
    assert outcome_of(home) == "error"


@pytest.mark.parametrize(("compared", "look"), [(True, 2), (False, 1)])
def test_only_a_week_that_compared_something_was_a_look(tmp_path: Path, compared: bool, look: int) -> None:
    home = finished_home(tmp_path / "home")
    found, before = gather(home, LAST_RUN), LAST_RUN.shift(-1)
    (row,) = home.store.read("promotion_decision", before).to_pylist()
    row |= {
        "champion_before": found.champion_version,
        "challenger": found.challenger_version,
        "suite_fingerprint": "f" * 64,
        "task_count": 240.0 if compared else None,
        "reward_delta_lower": 0.0 if compared else None,
    }
    home.store.publish(PROMOTION_DECISION, before, pa.Table.from_pylist([row]), Provenance())
    assert gather(home, LAST_RUN).compared.look == look


def test_the_logs_are_read_from_the_week_after_the_champion_was_promoted(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    promoted = [row for row in home.ledger.rows() if row.action == "promote" and row.week < str(LAST_RUN)]
    policy = PromotionPolicy(required_task_count=10**6)
    found = gather_week(LAST_RUN, sources_of(home), policy, datetime.fromisoformat(LONG_AFTER))
    assert found.champion_version == promoted[-1].to_version
    first = IsoWeek.parse(promoted[-1].week).shift(1)
    assert first > LAST_RUN.shift(1 - policy.logged_weeks)
    logged = found.compared.logged
    assert f"since {first} only" in logged if isinstance(logged, str) else logged and logged.first_week == first


def test_a_champion_that_remembers_holdout_tasks_is_named_in_the_decision(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    clean = gather(home, LAST_RUN)
    assert clean.compared.remembered_count == 0
    samples = read_samples(home.store, LAST_RUN)
    suite = clean.suite
    assert suite is not None
    held = suite.tasks_of("holdout")[0]
    rows = samples.slice(0, 2)
    for name, value in (("task_text", held.prompt), ("task_key", held.key)):
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(
            place, samples.schema.field(name), pa.array([value] * 2, samples.schema.field(name).type)
        )
    champion = fit_router(pa.concat_tables([samples, rows]), home.arm_prices)
    assert count_remembered(suite, champion) == 1
    told = decide_week(clean.evidence, PromotionPolicy(), replace(clean.compared, remembered_count=1))
    assert "The champion remembers 1 of the" in told.reasons[-1]
    assert told.metrics["champion_remembered_count"] == 1
