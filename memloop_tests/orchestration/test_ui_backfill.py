"""A backfill as the UI launches it: chosen past weeks of every asset, taken apart by Dagster's own daemon, few runs, right order."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.test_utils import create_test_daemon_workspace_context, instance_for_test
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.backfill import execute_backfill_iteration

from memloop_tests.scenario import FIRST, WEEKLY_TABLES, champion_of, filled_home, finished_home, ledger_of, manifests

WEEKS = [FIRST.shift(index) for index in range(4)]
RUN_LIMIT = 3
TICK_LIMIT = 12


@contextmanager
def synchronous_instance() -> Iterator[dg.DagsterInstance]:
    """Give an instance on disk that runs what it launches at once, in this process."""
    overrides = {
        "run_launcher": {
            "module": "dagster._core.launcher.sync_in_memory_run_launcher",
            "class": "SyncInMemoryRunLauncher",
        }
    }
    with instance_for_test(overrides=overrides) as instance:
        yield instance


def backfill(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Launch a backfill of the chosen weeks of every asset, tick until it has ended, and return its runs in order."""
    logger = logging.getLogger("memloop.tests.backfill")
    target = ModuleTarget("memloop_assets.definitions", attribute=None, working_directory=None, location_name="memloop")
    with create_test_daemon_workspace_context(target, instance) as workspace:
        graph = workspace.create_request_context().asset_graph
        instance.add_backfill(
            PartitionBackfill.from_asset_partitions(
                backfill_id="chosen",
                asset_graph=graph,
                partition_names=[week.key for week in WEEKS],
                asset_selection=list(graph.materializable_asset_keys),
                backfill_timestamp=time.time(),
                tags={},
                dynamic_partitions_store=instance,
                all_partitions=False,
                title=None,
                description=None,
                run_config=None,
            )
        )
        for _tick in range(TICK_LIMIT):
            assert not [error for error in execute_backfill_iteration(workspace, logger) if error]
            found = instance.get_backfill("chosen")
            if found is not None and found.status.value.startswith("COMPLETED"):
                break
        assert found is not None
        assert found.status.value == "COMPLETED_SUCCESS"
    return list(reversed(instance.get_runs()))


def test_chosen_past_weeks_take_few_runs_in_the_right_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = filled_home(tmp_path / "home")
    monkeypatch.setenv("MEMLOOP_HOME", str(tmp_path / "home"))
    with synchronous_instance() as instance:
        runs = backfill(instance)
        assert all(run.status == dg.DagsterRunStatus.SUCCESS for run in runs)
        assert len(runs) <= RUN_LIMIT, [run.tags for run in runs]
        for name in WEEKLY_TABLES:
            done = instance.get_materialized_partitions(dg.AssetKey(name))
            assert done == {week.key for week in WEEKS}
    whole = finished_home(tmp_path / "whole")
    chosen = tuple(f" {week}" for week in WEEKS)
    assert manifests(home) == {name: found for name, found in manifests(whole).items() if name.endswith(chosen)}
    assert ledger_of(home) == ledger_of(whole)[: len(WEEKS)]
    assert (champion_of(home) or {})["version"] == home.ledger.champion_as_of()
