"""The snapshot: which examples may be trained on as of a week, over all weeks up to it.

Deduplicated by content (the earliest week of the window wins), limited to the retention window, and free of holdout tasks and of what
nearly repeats them, even where the benchmark came after the weeks were built.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from memloop_assets.datasets.leakage import HoldoutKeys, NearHoldout, with_task_text
from memloop_assets.datasets.tables import (
    DATASET_SNAPSHOT,
    PREFERENCE_PAIRS,
    ROUTER_SAMPLES,
    SFT_EXAMPLES,
    TEACHING_TABLES,
)
from memloop_assets.datasets.weights import age_weight, curriculum_weight, difficulty_by_task
from memloop_assets.errors import InputFailed
from memloop_assets.settings import DatasetSettings
from memloop_assets.store import MISSING, Store
from memloop_assets.weeks import IsoWeek, weeks_between

_IDENTITY = ("example_id", "task_key")
_READ = {SFT_EXAMPLES.name: (*_IDENTITY, "reward"), ROUTER_SAMPLES.name: (*_IDENTITY, "domain", "reward")}
_TASK_IN = {SFT_EXAMPLES.name: "messages_json", PREFERENCE_PAIRS.name: "prompt_json", ROUTER_SAMPLES.name: "task_text"}


def window_of(week: IsoWeek, first_week: IsoWeek, retention_weeks: int) -> list[IsoWeek]:
    """Return the weeks whose examples are retained as of a week, in order, the week itself last."""
    start = max(first_week, week.shift(1 - retention_weeks))
    return list(weeks_between(start, week))


def read_window(
    store: Store, window: Sequence[IsoWeek]
) -> tuple[dict[tuple[str, IsoWeek], pa.Table], dict[str, str], list[str]]:
    """Return the examples of a window, their generations, and the tables of earlier weeks that are missing or failed.

    The last week is the snapshot's own: its tables must be there (InputFailed otherwise). A hole further back is named and left out.
    Tables that were built under another benchmark than the present one come with the column ``task_text``, for ``drop_near_holdout``.
    """
    examples, inputs, missing = {}, {}, []
    suite = store.generation("benchmark_suite", None)
    for week in window:
        for contract in TEACHING_TABLES:
            label = f"{contract.name} {week}"
            if week != window[-1] and not store.is_readable(contract.name, week):
                missing.append(label)
                inputs[label] = MISSING
                continue
            inputs.update(store.input_of(contract.name, week))
            wanted = _READ.get(contract.name, _IDENTITY)
            if store.manifest(contract.name, week)["inputs"].get("benchmark_suite") == suite:
                examples[contract.name, week] = store.read(contract.name, week, wanted)
            else:
                rows = with_task_text(store.read(contract.name, week, (*wanted, _TASK_IN[contract.name])))
                examples[contract.name, week] = rows.select([*wanted, "task_text"])
    return examples, inputs, missing


def drop_near_holdout(
    examples: Mapping[tuple[str, IsoWeek], pa.Table], near: NearHoldout
) -> tuple[dict[tuple[str, IsoWeek], pa.Table], int]:
    """Return the examples without those that nearly repeat a holdout task, and how many these were.

    Only tables with a ``task_text`` are looked at: the others were built under the present benchmark and hold none.
    """
    kept, dropped = {}, 0
    for key, rows in examples.items():
        kept[key], count = near.drop(rows) if "task_text" in rows.column_names else (rows, 0)
        dropped += count
    return kept, dropped


def build_snapshot(
    week: IsoWeek, examples: Mapping[tuple[str, IsoWeek], pa.Table], holdout: HoldoutKeys
) -> tuple[pa.Table, dict[str, int]]:
    """Return the manifest of a week and its counts: duplicates across weeks and rows that a later holdout takes out.

    ``examples`` maps (table name, week) to that week's rows (columns ``example_id``, ``task_key``), in any order.
    """
    columns: dict[str, list[object]] = {name: [] for name in DATASET_SNAPSHOT.schema.names}
    seen: set[tuple[str, str]] = set()
    counts = {"duplicate_count": 0, "holdout_excluded_count": 0}
    for (name, example_week), rows in sorted(examples.items(), key=lambda item: (item[0][1], item[0][0])):
        for example_id, key in zip(rows["example_id"].to_pylist(), rows["task_key"].to_pylist(), strict=True):
            if (name, example_id) in seen:
                counts["duplicate_count"] += 1
            elif key in holdout:
                counts["holdout_excluded_count"] += 1
            else:
                seen.add((name, example_id))
                row = (str(week), name, str(example_week), example_id, key, 1.0)
                for column, value in zip(columns.values(), row, strict=True):
                    column.append(value)
    return pa.table(columns, schema=DATASET_SNAPSHOT.schema), counts


def weigh_snapshot(
    snapshot: pa.Table, examples: Mapping[tuple[str, IsoWeek], pa.Table], settings: DatasetSettings
) -> tuple[pa.Table, dict[str, int]]:
    """Return the snapshot with the weights of its examples, and how many supervised ones fell below the quality floor and were dropped.

    ``examples`` are those of ``read_window``. Difficulty comes from the rewards of the snapshot's own samples; a task without any counts
    as hard as the average one. Known rewards are the quality of supervised examples; those that nobody judged are kept.
    """
    unweighed = (settings.age_half_life_weeks, settings.difficulty_strength, settings.sft_quality_floor)
    if unweighed == (None, 0.0, 0.0):
        return snapshot, {"low_quality_count": 0}
    facts = {
        (name, str(week), row["example_id"]): row
        for (name, week), rows in examples.items()
        for row in rows.to_pylist()
        if name in _READ
    }
    listed = [
        (row, facts.get((row["table_name"], row["example_week"], row["example_id"]), {}))
        for row in snapshot.to_pylist()
    ]
    difficulty = difficulty_by_task(
        (row["task_key"], fact["domain"], fact["reward"])
        for row, fact in listed
        if row["table_name"] == ROUTER_SAMPLES.name
    )
    average = sum(difficulty.values()) / len(difficulty) if difficulty else 0.5
    weighed = []
    for row, fact in listed:
        quality = fact.get("reward") if row["table_name"] == SFT_EXAMPLES.name else None
        if quality is not None and quality < settings.sft_quality_floor:
            continue
        age = round((IsoWeek.parse(row["week"]).start - IsoWeek.parse(row["example_week"]).start).days / 7)
        hardness = difficulty.get(row["task_key"], average)
        weight = curriculum_weight(hardness, settings.difficulty_strength, quality)
        weighed.append({**row, "weight": age_weight(age, settings.age_half_life_weeks) * weight})
    return DATASET_SNAPSHOT.table(weighed), {"low_quality_count": len(listed) - len(weighed)}


def read_samples(store: Store, week: IsoWeek) -> pa.Table:
    """Return the router samples that the snapshot of a week names, with their ``weight``, ordered by example id.

    They are read from the very generations that the snapshot was built from. Raises TableError where a table is missing, failed or altered.
    """
    snapshot = store.read(DATASET_SNAPSHOT.name, week)
    named = snapshot.filter(pc.equal(snapshot["table_name"], ROUTER_SAMPLES.name)).select(
        ["example_week", "example_id", "weight"]
    )
    generations = store.manifest(DATASET_SNAPSHOT.name, week)["inputs"]
    parts = [ROUTER_SAMPLES.table([]).append_column("weight", pa.array([], pa.float64()))]
    for example_week in sorted(set(named["example_week"].to_pylist())):
        generation = generations[f"{ROUTER_SAMPLES.name} {example_week}"]
        rows = store.read(ROUTER_SAMPLES.name, IsoWeek.parse(example_week), generation=generation)
        if set(ROUTER_SAMPLES.schema.names) - set(rows.column_names):
            label = f"{ROUTER_SAMPLES.name} {example_week}"
            raise InputFailed(
                label, "it was built before its samples told who asked", f"memloop backfill {example_week}"
            )
        wanted = named.filter(pc.equal(named["example_week"], example_week)).select(["example_id", "weight"])
        places = pc.index_in(rows["example_id"], value_set=wanted["example_id"].combine_chunks())
        weighed = rows.append_column("weight", wanted["weight"].take(places))
        parts.append(weighed.filter(pc.is_valid(places)).cast(parts[0].schema))
    return pa.concat_tables(parts).sort_by("example_id")
