"""Leakage: keeping the benchmark's holdout tasks out of everything that teaches, and proving it before publication."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from memloop_assets.store import Verdict

HoldoutKeys = frozenset[str]


def holdout_keys(suite_rows: pa.Table) -> HoldoutKeys:
    """Return the task keys on the holdout side of a suite given as rows (columns ``task_key``, ``split``)."""
    return frozenset(suite_rows.filter(pc.equal(suite_rows["split"], "holdout"))["task_key"].to_pylist())


def drop_holdout(rows: pa.Table, holdout: HoldoutKeys) -> tuple[pa.Table, int]:
    """Return the rows whose ``task_key`` is not in the holdout, and how many were dropped."""
    is_held = pc.is_in(rows["task_key"], pa.array(sorted(holdout), pa.large_string()))
    kept = rows.filter(pc.invert(is_held))
    return kept, rows.num_rows - kept.num_rows


def no_holdout_overlap(holdout: HoldoutKeys) -> Callable[[pa.Table], Verdict]:
    """Return the rule that a table shares no task with the holdout."""

    def judge(table: pa.Table) -> Verdict:
        shared = holdout.intersection(table["task_key"].to_pylist())
        return Verdict("no holdout task", not shared, f"{len(shared)} of {len(holdout)} holdout tasks overlap")

    return judge
