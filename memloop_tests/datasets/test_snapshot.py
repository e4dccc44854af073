"""The snapshot: what may be trained on as of a week, from which generations, and what is missing by name."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from memloop_assets.datasets.snapshot import build_snapshot, read_samples, read_window, window_of
from memloop_assets.datasets.tables import DATASET_SNAPSHOT, PREFERENCE_PAIRS, ROUTER_SAMPLES, SFT_EXAMPLES
from memloop_assets.errors import BadInput, CorruptData, InputFailed
from memloop_assets.store import Provenance, Store, hash_rows
from memloop_assets.tasks import task_key
from memloop_assets.weeks import IsoWeek

FIRST = IsoWeek(2026, 51)
SAMPLES, SPOKEN, PAIRED = ROUTER_SAMPLES.name, SFT_EXAMPLES.name, PREFERENCE_PAIRS.name
NOBODY: frozenset[str] = frozenset()


def week_after(distance: int) -> IsoWeek:
    """Return a week of the tests' window, which runs over the end of a year with 53 weeks."""
    return FIRST.shift(distance)


def named(*examples: str) -> pa.Table:
    """Return examples by id, each of the task that its id's first letter names."""
    return pa.table(
        {
            "example_id": pa.array(examples, pa.large_string()),
            "task_key": pa.array([task_key(example[0]) for example in examples], pa.large_string()),
        }
    )


def rows_of(snapshot: pa.Table) -> list[tuple[str, str, str]]:
    conformed = DATASET_SNAPSHOT.conform(snapshot)
    assert DATASET_SNAPSHOT.violations(conformed) == []
    return [(row["table_name"], row["example_id"], row["example_week"]) for row in conformed.to_pylist()]


def publish_week(store: Store, week: IsoWeek, *examples: str, reward: float = 1.0) -> None:
    """Publish a week whose samples have these ids, and no other examples."""
    rows = [
        {"week": str(week), "example_id": example, "task_key": task_key(example[0]), "task_text": example[0]}
        | {"arm": "small", "reward": reward, "quality_tier": "HIGH"}
        for example in examples
    ]
    store.publish(ROUTER_SAMPLES, week, ROUTER_SAMPLES.table(rows), Provenance())
    for contract in (SFT_EXAMPLES, PREFERENCE_PAIRS):
        store.publish(contract, week, contract.table([]), Provenance())


def publish_snapshot(store: Store, week: IsoWeek, window: list[IsoWeek], holdout: frozenset[str] = NOBODY) -> str:
    examples, inputs, _missing = read_window(store, window)
    rows, _counts = build_snapshot(week, examples, holdout)
    return store.publish(DATASET_SNAPSHOT, week, rows, Provenance(inputs)).generation


# the window


@pytest.mark.parametrize(
    ("week", "retention", "expected"),
    [
        (week_after(0), 26, ["2026-W51"]),
        (week_after(3), 26, ["2026-W51", "2026-W52", "2026-W53", "2027-W01"]),
        (week_after(3), 2, ["2026-W53", "2027-W01"]),
        (week_after(3), 4, ["2026-W51", "2026-W52", "2026-W53", "2027-W01"]),
        (week_after(3), 1, ["2027-W01"]),
    ],
)
def test_the_window_ends_with_its_week_and_never_starts_before_the_first(
    week: IsoWeek, retention: int, expected: list[str]
) -> None:
    assert [str(retained) for retained in window_of(week, FIRST, retention)] == expected


def test_a_window_has_as_many_weeks_as_are_retained() -> None:
    assert len(window_of(week_after(100), FIRST, 26)) == 26


# what is in a snapshot


def test_the_earliest_week_wins_whatever_the_order_of_the_weeks() -> None:
    examples = {
        (SAMPLES, week_after(2)): named("b", "c"),
        (SAMPLES, week_after(0)): named("a", "b"),
        (SAMPLES, week_after(1)): named("b", "a"),
    }
    backwards = dict(reversed(examples.items()))
    for given in (examples, backwards):
        rows, counts = build_snapshot(week_after(2), given, NOBODY)
        assert rows_of(rows) == [(SAMPLES, "a", "2026-W51"), (SAMPLES, "b", "2026-W51"), (SAMPLES, "c", "2026-W53")]
        assert counts == {"duplicate_count": 3, "holdout_excluded_count": 0}
    assert hash_rows(DATASET_SNAPSHOT.conform(build_snapshot(week_after(2), examples, NOBODY)[0])) == hash_rows(
        DATASET_SNAPSHOT.conform(build_snapshot(week_after(2), backwards, NOBODY)[0])
    )


def test_weeks_are_in_the_order_of_time_across_the_end_of_a_year() -> None:
    examples = {(SAMPLES, IsoWeek(2027, 1)): named("a"), (SAMPLES, IsoWeek(2026, 53)): named("a")}
    assert rows_of(build_snapshot(IsoWeek(2027, 1), examples, NOBODY)[0]) == [(SAMPLES, "a", "2026-W53")]


def test_the_same_id_in_two_tables_is_two_examples() -> None:
    examples = {(SAMPLES, FIRST): named("a"), (SPOKEN, FIRST): named("a"), (PAIRED, FIRST): named("a")}
    rows, counts = build_snapshot(FIRST, examples, NOBODY)
    assert rows_of(rows) == [(name, "a", "2026-W51") for name in (PAIRED, SAMPLES, SPOKEN)]
    assert counts["duplicate_count"] == 0
    assert set(rows["weight"].to_pylist()) == {1.0}
    assert set(rows["week"].to_pylist()) == {"2026-W51"}


def test_a_holdout_imported_after_the_weeks_were_built_is_taken_out_of_all_of_them() -> None:
    examples = {(SAMPLES, week_after(0)): named("a1", "b1"), (SAMPLES, week_after(1)): named("a2", "b2", "b1")}
    rows, counts = build_snapshot(week_after(1), examples, frozenset({task_key("a")}))
    assert [example for _table, example, _week in rows_of(rows)] == ["b1", "b2"]
    assert counts == {"duplicate_count": 1, "holdout_excluded_count": 2}


def test_without_examples_a_snapshot_has_no_rows() -> None:
    rows, counts = build_snapshot(FIRST, {(SAMPLES, FIRST): named()}, NOBODY)
    assert rows_of(rows) == rows_of(build_snapshot(FIRST, {}, NOBODY)[0]) == []
    assert counts == {"duplicate_count": 0, "holdout_excluded_count": 0}


# reading the window from the store


def test_a_window_reads_every_week_and_records_its_generations(tmp_path: Path) -> None:
    store = Store(tmp_path)
    window = [week_after(0), week_after(1)]
    publish_week(store, window[0], "a", "b")
    publish_week(store, window[1], "c")
    examples, inputs, missing = read_window(store, window)
    assert missing == []
    assert {key: rows["example_id"].to_pylist() for key, rows in examples.items()} == {
        (SPOKEN, window[0]): [],
        (PAIRED, window[0]): [],
        (SAMPLES, window[0]): ["a", "b"],
        (SPOKEN, window[1]): [],
        (PAIRED, window[1]): [],
        (SAMPLES, window[1]): ["c"],
    }
    assert inputs == {
        f"{name} {week}": store.generation(name, week) for name in (SAMPLES, SPOKEN, PAIRED) for week in window
    }


def test_holes_in_earlier_weeks_are_named_and_left_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    window = [week_after(distance) for distance in range(3)]
    publish_week(store, window[1], "b")
    publish_week(store, window[2], "c")
    store.record_failure(SAMPLES, window[1], BadInput("log", "line 3", "mend it"))
    examples, inputs, missing = read_window(store, window)
    assert missing == [*(f"{name} 2026-W51" for name in (SPOKEN, PAIRED, SAMPLES)), f"{SAMPLES} 2026-W52"]
    assert [inputs[label] for label in missing] == ["missing"] * 4
    read = {(name, week) for name in (SPOKEN, PAIRED) for week in window[1:]}
    assert set(examples) == read | {(SAMPLES, window[2])}


def test_a_snapshot_without_its_own_week_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish_week(store, week_after(0), "a")
    with pytest.raises(InputFailed, match="2026-W52: it was never materialised"):
        read_window(store, [week_after(0), week_after(1)])
    publish_week(store, week_after(1), "b")
    store.record_failure(SAMPLES, week_after(1), BadInput("log", "line 3", "mend it"))
    with pytest.raises(InputFailed, match="router_samples 2026-W52: its last attempt failed"):
        read_window(store, [week_after(0), week_after(1)])


def test_an_altered_earlier_week_is_a_fault_and_not_a_hole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    window = [week_after(0), week_after(1)]
    for week in window:
        publish_week(store, week, str(week.number))
    part = tmp_path / SAMPLES / "2026-W51" / str(store.generation(SAMPLES, window[0])) / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(CorruptData, match="router_samples 2026-W51"):
        read_window(store, window)


# reading the samples of a snapshot


def test_the_samples_of_a_snapshot_come_with_their_weight_in_the_order_of_their_ids(tmp_path: Path) -> None:
    store = Store(tmp_path)
    window = [week_after(0), week_after(1)]
    publish_week(store, window[0], "d", "b", reward=0.25)
    publish_week(store, window[1], "c", "a", "b", reward=0.75)
    publish_snapshot(store, window[1], window)
    samples = read_samples(store, window[1])
    assert samples.column_names == [*ROUTER_SAMPLES.schema.names, "weight"]
    assert samples.select(["example_id", "week", "reward", "weight"]).to_pylist() == [
        {"example_id": "a", "week": "2026-W52", "reward": 0.75, "weight": 1.0},
        {"example_id": "b", "week": "2026-W51", "reward": 0.25, "weight": 1.0},
        {"example_id": "c", "week": "2026-W52", "reward": 0.75, "weight": 1.0},
        {"example_id": "d", "week": "2026-W51", "reward": 0.25, "weight": 1.0},
    ]


def test_samples_are_read_from_the_very_generations_that_were_recorded(tmp_path: Path) -> None:
    store = Store(tmp_path)
    window = [week_after(0), week_after(1)]
    for week in window:
        publish_week(store, week, f"x{week.number}", reward=0.25)
    publish_snapshot(store, window[1], window)
    before = read_samples(store, window[1])
    publish_week(store, window[0], f"x{window[0].number}", "late", reward=0.75)
    store.record_failure(SAMPLES, window[1], BadInput("log", "line 3", "mend it"))
    assert read_samples(store, window[1]).equals(before)
    publish_week(store, window[1], f"x{window[1].number}")
    publish_snapshot(store, window[1], window)
    assert "late" in read_samples(store, window[1])["example_id"].to_pylist()


def test_samples_that_do_not_tell_who_asked_are_named_with_the_backfill_that_mends_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    earlier = replace(ROUTER_SAMPLES, columns=tuple(c for c in ROUTER_SAMPLES.columns if c.name != "asker"))
    publish_week(store, FIRST, "a1")
    rows = store.read(SAMPLES, FIRST).drop_columns(["asker"])
    store.publish(earlier, FIRST, rows, Provenance())
    publish_snapshot(store, FIRST, [FIRST])
    with pytest.raises(InputFailed, match=r"router_samples 2026-W51.*memloop backfill 2026-W51"):
        read_samples(store, FIRST)


def test_holdout_samples_and_other_tables_are_not_among_the_samples(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish_week(store, FIRST, "a1", "b1", "b2")
    spoken = {
        "week": str(FIRST),
        "example_id": "c1",
        "trajectory_id": "t",
        "task_key": task_key("c"),
        "messages_json": "[]",
    }
    table = SFT_EXAMPLES.table([spoken | {"message_count": 1, "quality_tier": "HIGH", "quality_score": 5.0}])
    store.publish(SFT_EXAMPLES, FIRST, table, Provenance())
    publish_snapshot(store, FIRST, [FIRST], frozenset({task_key("a")}))
    assert store.read(DATASET_SNAPSHOT.name, FIRST).num_rows == 3
    assert read_samples(store, FIRST)["example_id"].to_pylist() == ["b1", "b2"]


def test_an_empty_snapshot_gives_samples_without_rows_in_the_same_shape(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish_week(store, FIRST)
    publish_snapshot(store, FIRST, [FIRST])
    empty = read_samples(store, FIRST)
    assert empty.num_rows == 0
    publish_week(store, FIRST, "a")
    publish_snapshot(store, FIRST, [FIRST])
    assert read_samples(store, FIRST).schema.equals(empty.schema)
