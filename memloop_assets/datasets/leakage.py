"""Leakage: keeping the benchmark's holdout tasks out of everything that teaches, and proving it before publication."""

from collections.abc import Callable

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from memloop_assets.near_duplicates import NearDuplicateIndex
from memloop_assets.store import Store, Verdict

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


def with_task_text(examples: pa.Table) -> pa.Table:
    """Return examples with the text of their task under ``task_text``: their own column, or the first user message of what they hold.

    Reads ``task_text``, ``messages_json`` or ``prompt_json``, whichever the table has.
    """
    if "task_text" in examples.column_names:
        return examples
    column = next(name for name in ("messages_json", "prompt_json") if name in examples.column_names)
    texts = [_first_request(chat) for chat in examples[column].to_pylist()]
    return examples.append_column("task_text", pa.array(texts, pa.large_string()))


def _first_request(chat_json: str) -> str:
    chat = orjson.loads(chat_json)
    return next((m["content"] for m in chat if m["role"] == "user" and m["content"]), "")


class NearHoldout:
    """The holdout tasks of the present benchmark, for finding tasks that say nearly the same; each task is looked at once.

    One of these serves all weeks of a run; it is built anew where the benchmark has another generation.
    """

    def __init__(self, store: Store) -> None:
        """Keep the store; the benchmark is read with the first week."""
        self._store = store
        self._generation = ""
        self._index = NearDuplicateIndex()
        self._seen: dict[str, bool] = {}

    def drop(self, rows: pa.Table) -> tuple[pa.Table, int]:
        """Return the rows (columns ``task_key``, ``task_text``) whose task is no near-duplicate of a holdout task, and how many were.

        Holdout tasks themselves stay: they are dropped and counted by ``drop_holdout``.
        """
        self._read()
        for key, text in zip(rows["task_key"].to_pylist(), rows["task_text"].to_pylist(), strict=True):
            if key not in self._seen:
                self._seen[key] = self._index.find(text) is not None
        kept = rows.filter(pa.array([not self._seen[key] for key in rows["task_key"].to_pylist()], pa.bool_()))
        return kept, rows.num_rows - kept.num_rows

    def _read(self) -> None:
        generation = str(self._store.generation("benchmark_suite", None))
        if generation == self._generation:
            return
        suite = self._store.read("benchmark_suite", None)
        held = suite.filter(pc.equal(suite["split"], "holdout"))
        prompts = dict(zip(held["task_key"].to_pylist(), held["prompt"].to_pylist(), strict=True))
        self._index = NearDuplicateIndex(prompts.values())
        self._seen = dict.fromkeys(prompts, False)
        self._generation = generation
