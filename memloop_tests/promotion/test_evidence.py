"""The evidence of a week: read from real tables, every input that fails named rather than raised."""

import shutil
from datetime import datetime
from pathlib import Path

import pytest

from memloop_assets.datasets.snapshot import read_samples
from memloop_assets.errors import BadInput
from memloop_assets.home import Home
from memloop_assets.promotion.evidence import Gathered, Sources, built_in_router, champion_router, gather_week
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.routing.training import TrainingSettings
from memloop_assets.routing.versions import BUILT_IN
from memloop_assets.weeks import IsoWeek
from memloop_tests.scenario import FIRST, LAST_RUN, LONG_AFTER, finished_home

NOW = datetime.fromisoformat(LONG_AFTER)
MIDDLE = FIRST.shift(2)


def sources_of(home: Home, **training: object) -> Sources:
    return Sources(
        store=home.store,
        ledger=home.ledger,
        router_versions=home.places.router_versions,
        prices_usd=home.arm_prices,
        training=TrainingSettings(**training),  # type: ignore[arg-type]  # its own fields
        first_week=home.first_week,
    )


def gather(home: Home, week: IsoWeek = MIDDLE, now: datetime = NOW) -> Gathered:
    return gather_week(week, sources_of(home), PromotionPolicy(), now)


def test_a_sound_week_has_both_scores_on_the_same_tasks_and_names_its_inputs(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    found = gather(home)
    assert found.evidence.failed_inputs == ()
    assert found.compared.champion is not None
    assert found.compared.challenger is not None
    assert found.compared.champion.task_ids == found.compared.challenger.task_ids
    assert len(found.compared.champion.task_ids) == found.evidence.holdout_task_count
    assert [scores.policy for scores in found.baselines] == [
        "best-single-arm",
        "cheapest-arm",
        "random",
        "task-mean",
        "oracle",
    ]
    assert found.compared.reference_cost_usd is not None
    assert found.evidence.new_sample_count == home.store.read("router_samples", MIDDLE).num_rows
    assert found.evidence.sample_count == read_samples(home.store, MIDDLE).num_rows
    assert set(found.inputs) >= {
        "benchmark_suite",
        f"router_samples {MIDDLE}",
        f"router_checkpoint {MIDDLE}",
        f"benchmark_results {MIDDLE}",
    }
    for name, generation in found.inputs.items():
        table, _, week = name.partition(" ")
        assert generation == home.store.generation(table, IsoWeek.parse(week) if week else None)


@pytest.mark.parametrize(
    "table", ["benchmark_suite", "router_samples", "router_checkpoint", "benchmark_results", "dataset_snapshot"]
)
def test_a_missing_table_is_a_failed_input_and_the_others_are_read_all_the_same(tmp_path: Path, table: str) -> None:
    home = finished_home(tmp_path / "home")
    shutil.rmtree(home.places.tables / table / ("all" if table == "benchmark_suite" else str(MIDDLE)))
    found = gather(home)
    label = table if table == "benchmark_suite" else f"{table} {MIDDLE}"
    assert f"{label} (it was never materialised)" in found.evidence.failed_inputs
    others = {name.split(" ")[0] for name in found.inputs}
    assert others >= {"benchmark_suite", "router_checkpoint", "benchmark_results"} - {table}
    assert found.champion_version == home.ledger.champion_as_of(MIDDLE)


def test_the_samples_come_from_the_generations_that_the_snapshot_was_built_from(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    (home.places.tables / "router_samples" / str(FIRST) / "CURRENT").unlink()
    assert gather(home).evidence.failed_inputs == (), "the snapshot pins them"
    shutil.rmtree(home.places.tables / "router_samples" / str(FIRST))
    (failed,) = gather(home).evidence.failed_inputs
    assert failed.startswith(f"dataset_snapshot {MIDDLE} (")


def test_a_champion_that_cannot_be_loaded_is_a_failed_input(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    week = LAST_RUN
    version = home.ledger.champion_as_of(week)
    shutil.rmtree(home.places.router_versions / version)
    found = gather(home, week)
    assert found.compared.champion is None
    assert [name.split(" (")[0] for name in found.evidence.failed_inputs] == [f"champion {version}"]


def test_what_is_early_or_missing_before_the_week_is_told(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    undecided = LAST_RUN.shift(1)
    assert not gather(home, undecided, now=undecided.start).evidence.is_closed
    assert gather(home, now=MIDDLE.start).evidence.is_closed, "it is decided, whatever the clock says now"
    assert gather(home, FIRST).evidence.is_first_week
    after_next = LAST_RUN.shift(2)
    assert gather(home, after_next).evidence.missing_predecessor == after_next.shift(-1)
    assert gather(home, LAST_RUN.shift(1)).evidence.missing_predecessor is None


def test_the_built_in_champion_of_a_week_is_fitted_on_the_weeks_before_it(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    sources = sources_of(home)
    own = read_samples(home.store, MIDDLE)
    before = read_samples(home.store, MIDDLE.shift(-1))
    found = champion_router(BUILT_IN, MIDDLE, sources, own)
    assert found.version == built_in_router(before, sources).version
    first = read_samples(home.store, FIRST)
    assert champion_router(BUILT_IN, FIRST, sources, first).version == built_in_router(first, sources).version


def test_a_configured_reference_arm_is_the_built_in_policy(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    samples = read_samples(home.store, MIDDLE)
    router = built_in_router(samples, sources_of(home, reference_arm="lookup-tool"))
    assert {router.choose(text).arm for text in ("Refund my order", "", "2 + 2")} == {"lookup-tool"}


def test_a_reference_arm_that_nobody_knows_is_refused_by_name(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    samples = read_samples(home.store, MIDDLE)
    with pytest.raises(BadInput, match="no-such-arm"):
        built_in_router(samples, sources_of(home, reference_arm="no-such-arm"))
