"""What every asset and job declares: what the UI shows, how backfills run, and that configuration has one set of names."""

import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from importlib import resources

import dagster as dg
import pytest

from memloop_assets import __version__
from memloop_assets.benchmarks.tables import TABLES as BENCHMARK_TABLES
from memloop_assets.contracts import TableContract
from memloop_assets.datasets.tables import TABLES as DATASET_TABLES
from memloop_assets.definitions import defs
from memloop_assets.orchestration.jobs import SERIAL_TAG
from memloop_assets.orchestration.partitions import WEEKS
from memloop_assets.promotion.assets import PolicyConfig
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.tables import TABLES as PROMOTION_TABLES
from memloop_assets.routing.tables import TABLES as ROUTING_TABLES
from memloop_assets.status import WEEKLY_TABLES
from memloop_assets.trajectories.tables import TABLES as TRAJECTORY_TABLES
from memloop_tests.architecture.source_tree import ROOT

ROOMS = {
    "trajectories": TRAJECTORY_TABLES,
    "datasets": DATASET_TABLES,
    "routing": ROUTING_TABLES,
    "benchmarks": BENCHMARK_TABLES,
    "promotion": PROMOTION_TABLES,
}
CONTRACTS: Mapping[str, tuple[str, TableContract]] = {
    table.name: (room, table) for room, tables in ROOMS.items() for table in tables
}
ASSETS = {spec.key.path[-1]: spec for spec in defs.resolve_all_asset_specs()}
GRAPH = defs.resolve_asset_graph()


def test_every_table_is_an_asset_and_the_champion_is_the_only_one_without_a_table() -> None:
    assert set(ASSETS) == {*CONTRACTS, "champion"}
    assert {name for name, spec in ASSETS.items() if spec.partitions_def is not None} == set(WEEKLY_TABLES)


@pytest.mark.parametrize("name", sorted(ASSETS))
def test_an_asset_says_what_it_is_who_keeps_it_and_in_which_room(name: str) -> None:
    spec = ASSETS[name]
    assert spec.description
    assert spec.description.split("\n")[0].endswith((".", ":"))
    assert spec.group_name == CONTRACTS.get(name, ("promotion", None))[0]
    assert spec.kinds
    assert spec.owners == ["team:memloop"]
    assert spec.code_version == __version__
    assert len(name) <= 18, "the UI cuts longer names"


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_tables_columns_are_shown_as_its_contract_has_them(name: str) -> None:
    _, contract = CONTRACTS[name]
    schema = ASSETS[name].metadata["dagster/column_schema"]
    shown = [(column.name, column.constraints.nullable, column.description) for column in schema.columns]
    assert shown == [(column.name, column.nullable, column.description) for column in contract.columns]
    assert ASSETS[name].metadata["row"] == contract.row


@pytest.mark.parametrize("name", WEEKLY_TABLES)
def test_a_weekly_table_shares_the_one_partitions_object_and_backfills_in_one_run(name: str) -> None:
    assert ASSETS[name].partitions_def is WEEKS
    assert GRAPH.get(dg.AssetKey(name)).backfill_policy == dg.BackfillPolicy.single_run()
    assert {check.name for check in GRAPH.asset_check_keys if check.asset_key == dg.AssetKey(name)} == {
        "weeks_published",
        *(["inputs_current"] if name == "dataset_snapshot" else []),
    }


def test_nothing_that_a_decision_rests_on_depends_on_a_champion() -> None:
    upstream = GRAPH.get(dg.AssetKey("promotion_decision")).parent_keys
    assert dg.AssetKey("promotion_decision") in upstream, "it depends on its own past"
    seen, left = set(), {key for key in upstream if key != dg.AssetKey("promotion_decision")}
    while left:
        key = left.pop()
        seen.add(key)
        left |= GRAPH.get(key).parent_keys - seen
    assert not {"champion", "promotion_decision"} & {key.path[-1] for key in seen}


def selected(job: str) -> set[str]:
    return {key.path[-1] for key in defs.resolve_job_def(job).asset_layer.selected_asset_keys}


def test_the_loop_takes_everything_and_runs_alone() -> None:
    assert selected("weekly_loop") == set(ASSETS)
    assert defs.resolve_job_def("weekly_loop").tags.items() >= SERIAL_TAG.items()


def test_the_datasets_job_ends_before_the_decision_and_may_run_beside_others() -> None:
    assert selected("datasets") == set(ASSETS) - {"promotion_decision", "champion", "training_report"}
    assert not SERIAL_TAG.keys() & defs.resolve_job_def("datasets").tags.keys()


def test_the_dry_run_takes_all_but_what_decides_and_publishes_and_runs_alone() -> None:
    assert selected("dry_run") == set(ASSETS) - {"promotion_decision", "champion"}
    assert defs.resolve_job_def("dry_run").tags.items() >= SERIAL_TAG.items()


def test_the_gates_run_config_mirrors_the_policy_field_by_field() -> None:
    policy = {field.name: field.type for field in dataclasses.fields(PromotionPolicy)}
    config = {name: field.annotation for name, field in PolicyConfig.model_fields.items()}
    assert list(config) == list(policy)
    for name, kind in policy.items():
        told = list[str] if kind == tuple[str, ...] else kind  # Dagster's config knows no tuples
        assert config[name] == (told | None), name  # type: ignore[operator]  # a class or a union
    assert PolicyConfig().over(PromotionPolicy(seed=3)) == PromotionPolicy(seed=3)
    assert PolicyConfig(seed=0, cost_weight=0.0).over(PromotionPolicy(seed=3)) == PromotionPolicy(cost_weight=0.0)


def test_a_home_gets_the_same_instance_file_as_the_repository_has() -> None:
    shipped = resources.files("memloop_assets").joinpath("dagster_instance.yaml").read_text(encoding="utf-8")
    assert shipped == (ROOT / "dagster.yaml").read_text(encoding="utf-8")


def test_the_definitions_load_without_a_warning_but_the_declared_ones() -> None:
    code = "from memloop_assets.definitions import defs; print(len(list(defs.resolve_all_asset_specs())))"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, str(len(ASSETS))), done.stderr
