"""The import of a long table: somebody's outcomes, one row per task and arm in Parquet or CSV, made into a suite.

Here: reading the file, naming what is wrong with it, merging tasks that are one task. Not here: the suite itself
(``suite``).
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from memloop_assets.benchmarks.suite import ArmOutcome, BenchmarkSuite, BenchmarkTask
from memloop_assets.errors import BadInput
from memloop_assets.store import read_parquet
from memloop_assets.tasks import split_of_task, task_key
from memloop_assets.trajectories.redaction import Redactor
from memloop_assets.trajectories.secret_rules import RULES, Rule

_REQUIRED = ("task_id", "prompt", "arm", "reward")
_OPTIONAL = ("domain", "cost_usd", "latency_ms")
_MOST_NAMED = 5
_NUMBERS = ("reward", "cost_usd", "latency_ms")


def import_long_table(
    path: Path, *, name: str, holdout_share: float = 0.5, salt: str = "", rules: Sequence[Rule] = RULES
) -> BenchmarkSuite:
    """Read a suite from a Parquet or CSV file with one row per task and arm.

    Columns: ``task_id, prompt, arm, reward`` and, where known, ``domain, cost_usd, latency_ms``; others are ignored. A
    null, empty or NaN domain, cost or latency is unknown. Prompts are redacted as logs are, so that a task is the same
    in both. Ids that share one normalised prompt are one task: it keeps the smallest id with its prompt, and each arm's
    outcome is the mean of its measurements, which no order of rows can sway. Raises BadInput naming the culprit rows
    (counted from 1, without the header) and the fix.
    """
    rows = _read_long_table(path)
    thing = f"benchmark table {path}"
    rows["prompt"] = [Redactor(rules).redact_text(prompt) for prompt in rows["prompt"]]
    heads, seen = _check_identity(rows, thing)
    ids_of_key: dict[str, list[str]] = defaultdict(list)
    for task_id in sorted(heads):
        ids_of_key[task_key(heads[task_id][0])].append(task_id)
    tasks = []
    for ids in ids_of_key.values():
        measured: dict[str, list[ArmOutcome]] = defaultdict(list)
        for task_id in ids:
            for arm, row in seen[task_id].items():
                measured[arm].append(_outcome_of_row(rows, row, thing))
        prompt = heads[ids[0]][0]
        domain = next((heads[task_id][1] for task_id in ids if heads[task_id][1] is not None), None)
        outcomes = {arm: ArmOutcome.mean_of(found) for arm, found in measured.items()}
        tasks.append(BenchmarkTask(ids[0], prompt, domain, split_of_task(prompt, holdout_share, salt), outcomes))
    return BenchmarkSuite(name, tuple(tasks), holdout_share, salt)


def _read_long_table(path: Path) -> dict[str, list[Any]]:
    """Return the columns of a long table as lists: texts as str, numbers as float, unknown values as None."""
    thing = f"benchmark table {path}"
    if path.suffix.lower() not in {".parquet", ".pq", ".csv"}:
        raise BadInput(thing, f"{path.suffix or 'no suffix'!r} is not a known kind", "give a .parquet or .csv file")
    if not path.is_file():
        raise BadInput(thing, "there is no such file", "check the path")
    try:
        table = _read_csv(path) if path.suffix.lower() == ".csv" else _read_parquet(path)
    except (OSError, pa.ArrowException) as error:
        kind = path.suffix.lower().lstrip(".")
        raise BadInput(thing, f"it cannot be read ({error})", f"save the table again as {kind}") from None
    missing = [column for column in _REQUIRED if column not in table.column_names]
    if missing:
        columns = ", ".join(table.column_names) or "none"
        fix = f"name the columns {', '.join(_REQUIRED)} and, if known, {', '.join(_OPTIONAL)}"
        raise BadInput(thing, f"column {', '.join(missing)} is missing (found: {columns})", fix)
    present = [name for name in (*_REQUIRED, *_OPTIONAL) if name in table.column_names]
    nothing: list[Any] = [None] * table.num_rows
    rows: dict[str, list[Any]] = dict.fromkeys(_OPTIONAL, nothing)
    for column in present:
        values = table.column(column)
        as_list = _numbers(values, column, thing) if column in _NUMBERS else _texts(values)
        unknown = [number for number, value in enumerate(as_list, start=1) if value is None]
        if unknown and column in _REQUIRED:
            raise BadInput(thing, f"{column} is empty in {_named(unknown)}", "fill it in, or leave those rows out")
        rows[column] = as_list
    if not table.num_rows:
        raise BadInput(thing, "it has no rows", "give one row per task and arm")
    return rows


def _read_parquet(path: Path) -> pa.Table:
    """Read the columns that a suite needs from a Parquet file."""
    import pyarrow.parquet as pq  # noqa: PLC0415 (only an import of a suite needs the reader)

    known = pq.read_schema(path).names
    return read_parquet(path, [name for name in (*_REQUIRED, *_OPTIONAL) if name in known])


def _read_csv(path: Path) -> pa.Table:
    """Read a CSV file with every column as text, so that no id such as 007 is taken for a number."""
    from pyarrow import csv  # noqa: PLC0415 (only an import of a suite needs the reader)

    as_text = dict.fromkeys((*_REQUIRED, *_OPTIONAL), pa.string())
    return csv.read_csv(
        path,
        read_options=csv.ReadOptions(use_threads=False),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(column_types=as_text),
    )


def _texts(values: pa.ChunkedArray) -> list[str | None]:
    """Return a column as texts; null and blank are None."""
    return [text if text and text.strip() else None for text in pc.cast(values, pa.string()).to_pylist()]


def _numbers(values: pa.ChunkedArray, column: str, thing: str) -> list[float | None]:
    """Return a column as floats; null, blank and NaN are None. Raises BadInput for what is not a number."""
    found: list[float | None] = []
    wrong: list[int] = []
    for number, value in enumerate(values.to_pylist(), start=1):
        if value is None or (isinstance(value, str) and not value.strip()):
            found.append(None)
            continue
        try:
            as_float = float(value)
        except (TypeError, ValueError):
            wrong.append(number)
            continue
        found.append(None if math.isnan(as_float) else as_float)
    if wrong:
        raise BadInput(thing, f"{column} is not a number in {_named(wrong)}", "write numbers such as 0.25")
    return found


def _check_identity(
    rows: dict[str, list[Any]], thing: str
) -> tuple[dict[str, tuple[str, str | None]], dict[str, dict[str, int]]]:
    """Return each id's (prompt, domain) and its row per arm; raises BadInput where an id is not one task."""
    first: dict[str, int] = {}
    heads: dict[str, tuple[str, str | None]] = {}
    seen: dict[str, dict[str, int]] = defaultdict(dict)
    for row, (task_id, prompt, domain, arm) in enumerate(
        zip(rows["task_id"], rows["prompt"], rows["domain"], rows["arm"], strict=True)
    ):
        start = first.setdefault(task_id, row)
        known_prompt, known_domain = heads.setdefault(task_id, (prompt, domain))
        if arm in seen[task_id]:
            culprit = f"task {task_id!r} and arm {arm!r} occur twice ({_named([seen[task_id][arm] + 1, row + 1])})"
            raise BadInput(thing, culprit, "keep one row per task and arm, for example the mean of repeated runs")
        seen[task_id][arm] = row
        for what, known, value in (("prompts", known_prompt, prompt), ("domains", known_domain, domain)):
            if value != known and None not in (value, known):
                culprit = f"task_id {task_id!r} has two {what} ({_named([start + 1, row + 1])})"
                raise BadInput(thing, culprit, "give each task an id of its own")
        heads[task_id] = (known_prompt, domain if known_domain is None else known_domain)
    return heads, seen


def _outcome_of_row(rows: dict[str, list[Any]], row: int, thing: str) -> ArmOutcome:
    """Return one row's outcome; raises BadInput naming the row."""
    try:
        return ArmOutcome(rows["reward"][row], rows["cost_usd"][row], rows["latency_ms"][row])
    except BadInput as error:
        raise BadInput(thing, f"{error.culprit} in row {row + 1}", error.fix) from None


def _named(rows: Sequence[int]) -> str:
    """Name the first few rows for a person: ``row 3``, ``rows 3, 17``, ``rows 1, 2, 3, 4, 5 and 40 more``."""
    shown = ", ".join(str(row) for row in rows[:_MOST_NAMED])
    more = len(rows) - _MOST_NAMED
    return f"row{'s' if len(rows) > 1 else ''} {shown}" + (f" and {more} more" if more > 0 else "")
