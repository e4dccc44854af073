"""What memloop leans on in Dagster, held against the installed version: an upgrade that changes it fails here first.

Nothing of memloop is tested here, so nothing of memloop is imported.
"""

from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster._core.instance.config import dagster_instance_config

from memloop_tests.architecture.source_tree import ROOT

WEEKS = dg.WeeklyPartitionsDefinition(start_date="2026-W02-1", fmt="%G-W%V-%u", day_offset=1, end_offset=1)
LONG_AGO = dg.WeeklyPartitionsDefinition(start_date="2020-W02-1", fmt="%G-W%V-%u", day_offset=1, end_offset=1)
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


def keys_at(moment: datetime) -> list[str]:
    """Return the keys that are offered at a moment."""
    return list(WEEKS.get_partition_keys(current_time=moment))


def test_a_weekly_key_is_the_iso_date_of_its_monday() -> None:
    keys = keys_at(datetime(2028, 1, 12, tzinfo=UTC))
    assert keys[0] == "2026-W02-1"
    window = WEEKS.time_window_for_partition_key("2026-W12-1")
    assert window.start == datetime(2026, 3, 16, tzinfo=UTC)
    assert window.end == datetime(2026, 3, 23, tzinfo=UTC)
    for key in keys:
        monday = WEEKS.time_window_for_partition_key(key).start
        assert monday.strftime("%G-W%V-%u") == key
        assert monday.date().isoweekday() == 1


def test_week_53_and_the_ends_of_years_are_all_there_once() -> None:
    keys = keys_at(datetime(2028, 1, 12, tzinfo=UTC))
    turn_of_2026 = keys.index("2026-W53-1")
    assert keys[turn_of_2026 - 1 : turn_of_2026 + 2] == ["2026-W52-1", "2026-W53-1", "2027-W01-1"]
    turn_of_2027 = keys.index("2027-W52-1")
    assert keys[turn_of_2027 : turn_of_2027 + 2] == ["2027-W52-1", "2028-W01-1"]
    assert len(keys) == len(set(keys)) == 52 + 52 + 2


def test_the_running_week_is_offered_from_monday_midnight_utc() -> None:
    assert keys_at(datetime(2026, 3, 15, 23, 59, 59, tzinfo=UTC))[-1] == "2026-W11-1"
    assert keys_at(datetime(2026, 3, 16, tzinfo=UTC))[-1] == "2026-W12-1"


def test_a_day_inside_a_week_is_read_as_the_next_week_without_an_error() -> None:
    misread = WEEKS.time_window_for_partition_key("2026-W12-3")
    assert misread.start == WEEKS.time_window_for_partition_key("2026-W13-1").start
    assert not WEEKS.has_partition_key("2026-W12-3")
    assert WEEKS.has_partition_key("2026-W12-1")


@pytest.mark.parametrize("typed", ["2026-W12", "2026-W2-1", "2026-w12-1", "2026-12-1", "2026-W54-1", "latest"])
def test_a_key_of_another_form_is_refused(typed: str) -> None:
    assert not WEEKS.has_partition_key(typed)


def test_a_format_without_the_day_lists_keys_that_it_cannot_read_back() -> None:
    weeks = dg.WeeklyPartitionsDefinition(start_date=datetime(2026, 1, 5, tzinfo=UTC), fmt="%G-W%V", day_offset=1)
    (first, *_) = weeks.get_partition_keys(current_time=datetime(2026, 3, 16, tzinfo=UTC))
    assert first == "2026-W02"
    assert not weeks.has_partition_key(first)


def run_range(first: str, last: str, seen: list[str]) -> tuple[dg.ExecuteInProcessResult, dg.DagsterInstance]:
    """Materialise a range of weeks of an asset that depends on its own past, in one run and past the IO managers."""
    past = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)

    @dg.asset(
        partitions_def=LONG_AGO,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[dg.AssetDep("decision", partition_mapping=past)],
    )
    def decision(context: dg.AssetExecutionContext) -> None:
        for number, key in enumerate(context.partition_keys):
            seen.append(key)
            context.add_asset_metadata({"dagster/row_count": number}, partition_key=key)

    instance = dg.DagsterInstance.ephemeral()
    return dg.materialize([decision], instance=instance, tags={RANGE_START: first, RANGE_END: last}), instance


def test_one_run_sees_a_range_in_order_and_reports_each_week_by_itself() -> None:
    seen: list[str] = []
    result, instance = run_range("2020-W51-1", "2021-W01-1", seen)
    assert seen == ["2020-W51-1", "2020-W52-1", "2020-W53-1", "2021-W01-1"]
    assert instance.get_runs_count() == 1
    reported = {event.partition: event.materialization.metadata for event in result.get_asset_materialization_events()}
    assert {week: metadata["dagster/row_count"].value for week, metadata in reported.items()} == {
        "2020-W51-1": 0,
        "2020-W52-1": 1,
        "2020-W53-1": 2,
        "2021-W01-1": 3,
    }
    assert instance.get_materialized_partitions(dg.AssetKey("decision")) == set(seen)


def test_a_range_that_has_not_begun_runs_all_the_same_and_is_reported_as_no_week_at_all() -> None:
    seen: list[str] = []
    result, instance = run_range("2998-W01-1", "2998-W02-1", seen)
    assert result.success
    assert seen == ["2998-W01-1", "2998-W02-1"]
    assert [event.partition for event in result.get_asset_materialization_events()] == [None]
    assert instance.get_materialized_partitions(dg.AssetKey("decision")) == set()


def test_the_isolated_week_runs_without_its_predecessor() -> None:
    seen: list[str] = []
    result, _ = run_range("2020-W30-1", "2020-W30-1", seen)
    assert result.success
    assert seen == ["2020-W30-1"]


def test_the_instance_file_is_one_that_dagster_accepts() -> None:
    config, _ = dagster_instance_config(str(ROOT))
    assert config["telemetry"] == {"enabled": False}
    assert config["nux"] == {"enabled": False}
    assert config["run_queue"]["dequeue_interval_seconds"] == 1
    assert config["concurrency"]["runs"] == {
        "max_concurrent_runs": 2,
        "tag_concurrency_limits": [{"key": "memloop/serial", "limit": 1}],
    }
