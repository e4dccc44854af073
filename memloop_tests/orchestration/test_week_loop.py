"""The week loop on a table of its own: what becomes one week's error, what ends the run, and what the check says."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from memloop_assets.contracts import Column, TableContract
from memloop_assets.errors import BadInput, LedgerConflict, WriterConflict
from memloop_assets.home import Home
from memloop_assets.orchestration.resources import MemloopHome
from memloop_assets.orchestration.week_loop import Built, run_weeks, weekly_asset
from memloop_assets.store import Verdict
from memloop_assets.weeks import IsoWeek
from memloop_tests.scenario import FIRST, LONG_AFTER, open_at

SHARES = TableContract(
    name="shares",
    row="one share",
    key=("name",),
    columns=(Column("name", "string", "whose"), Column("share_ratio", "float", "how much", minimum=0, maximum=1)),
)
WEEKS = [FIRST.shift(index) for index in range(3)]
MIDDLE = WEEKS[1]

Build = Callable[[IsoWeek], Built]


def sound(week: IsoWeek) -> Built:
    """Build a week that keeps every promise."""
    return Built(SHARES.table([{"name": f"of {week}", "share_ratio": 0.5}]), metadata={"total": 0.5})


def run(
    folder: Path,
    build: Build,
    first: IsoWeek = WEEKS[0],
    last: IsoWeek = WEEKS[-1],
    instance: dg.DagsterInstance | None = None,
) -> dg.ExecuteInProcessResult:
    """Materialise the table for a range of weeks."""

    @weekly_asset(SHARES, group="trajectories", kinds={"parquet"})
    def shares(context: dg.AssetExecutionContext, home: MemloopHome) -> dg.MaterializeResult:
        """Shares."""
        return run_weeks(context, home.open(), SHARES, build)

    return dg.materialize(
        [shares],
        instance=instance or dg.DagsterInstance.ephemeral(),
        resources={"home": MemloopHome(folder=str(folder), frozen_now=LONG_AFTER)},
        tags={"dagster/asset_partition_range_start": first.key, "dagster/asset_partition_range_end": last.key},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )


def only_in_the_middle(fault: Build) -> Build:
    """Return a build that goes wrong in the middle week alone."""
    return lambda week: fault(week) if week == MIDDLE else sound(week)


def out_of_bounds(_week: IsoWeek) -> Built:
    return Built(SHARES.table([{"name": "too much", "share_ratio": 1.5}]))


def key_twice(week: IsoWeek) -> Built:
    return Built(SHARES.table([{"name": str(week), "share_ratio": 0.1}, {"name": str(week), "share_ratio": 0.2}]))


def against_a_rule(week: IsoWeek) -> Built:
    return Built(sound(week).table, rules=[lambda _table: Verdict("adds up to one", False, "it adds up to 0.5")])


def unreadable(_week: IsoWeek) -> Built:
    raise BadInput("price list", "it is gone", "bring it back")


FAULTS: dict[str, tuple[Build, str]] = {
    "a value out of its bounds": (out_of_bounds, "share_ratio is above 1 in 1 rows"),
    "a key that repeats": (key_twice, "repeats in 1 rows"),
    "a broken rule": (against_a_rule, "adds up to one: it adds up to 0.5"),
    "a named fault while building": (unreadable, "price list: it is gone"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_can_be_named_is_one_weeks_error_and_the_others_go_on(tmp_path: Path, name: str) -> None:
    fault, reason = FAULTS[name]
    result = run(tmp_path, only_in_the_middle(fault))
    assert result.success
    home: Home = open_at(tmp_path)
    assert [home.store.is_readable("shares", week) for week in WEEKS] == [True, False, True]
    assert reason in (home.store.failure("shares", MIDDLE) or "")
    told = {one.partition: one.metadata for one in result.asset_materializations_for_node("shares")}
    assert list(told) == [week.key for week in WEEKS]
    assert reason in str(told[MIDDLE.key]["error"].value)
    assert told[WEEKS[2].key]["total"].value == 0.5
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(check.metadata["failed_weeks"].value).startswith(f"- {MIDDLE}: ")
    assert reason in str(check.metadata["failed_weeks"].value)


def test_a_week_that_is_mended_passes_the_check_again(tmp_path: Path) -> None:
    run(tmp_path, only_in_the_middle(out_of_bounds))
    (check,) = run(tmp_path, sound, MIDDLE, MIDDLE).get_asset_check_evaluations()
    assert (check.passed, check.metadata["failed_week_count"].value) == (True, 0)


def test_a_failed_week_keeps_its_last_good_rows_on_disk_and_hides_them_from_readers(tmp_path: Path) -> None:
    run(tmp_path, sound)
    store = open_at(tmp_path).store
    before = store.generation("shares", MIDDLE)
    run(tmp_path, only_in_the_middle(out_of_bounds))
    assert store.generation("shares", MIDDLE) == before
    assert not store.is_readable("shares", MIDDLE)


@pytest.mark.parametrize(
    "fault",
    [
        WriterConflict("shares", "another process is writing it", "wait"),
        LedgerConflict("ledger", "it moved on", "read it again"),
        sqlite3.OperationalError("disk I/O error"),
        KeyError("a bug"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_race_or_a_bug_ends_the_run_once_the_finished_weeks_are_reported(tmp_path: Path, fault: Exception) -> None:
    def breaks(_week: IsoWeek) -> Built:
        raise fault

    instance = dg.DagsterInstance.ephemeral()
    assert not run(tmp_path, only_in_the_middle(breaks), instance=instance).success
    assert instance.get_materialized_partitions(dg.AssetKey("shares")) == {WEEKS[0].key}
    last = instance.get_latest_materialization_event(dg.AssetKey("shares"))
    assert last is not None
    assert last.asset_materialization is not None
    assert last.asset_materialization.metadata["total"].value == 0.5
    store = open_at(tmp_path).store
    assert store.failure("shares", MIDDLE) is None, "nobody wrote that this week's own data is at fault"
    assert store.generation("shares", WEEKS[2]) is None
