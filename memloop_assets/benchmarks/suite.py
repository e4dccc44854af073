"""The benchmark suite: frozen tasks with known outcomes per arm, and the shapes in which a suite travels.

Here: the suite's values, its fingerprint, its JSON file and its rows. Not here: the import of somebody's long table
(``long_table``), choosing arms and scoring them (``evaluation``), intervals (``intervals``), weekly tables
(``assets``).
"""

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa

from memloop_assets.errors import BadInput
from memloop_assets.store import write_atomically
from memloop_assets.tasks import Split, split_of_task, task_key

FORMAT = 1
ROW_SCHEMA = pa.schema(
    [
        pa.field("task_id", pa.string(), nullable=False),
        pa.field("task_key", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("domain", pa.string()),
        pa.field("split", pa.string(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("reward", pa.float64(), nullable=False),
        pa.field("cost_usd", pa.float64()),
        pa.field("latency_ms", pa.float64()),
    ],
)
_NUMBERS = ("reward", "cost_usd", "latency_ms")
_AGAIN = "load the file as it was saved, or import the long table again with `memloop benchmark import`"


@dataclass(frozen=True, slots=True)
class ArmOutcome:
    """What one arm achieved on one task: reward in [0, 1], cost in USD and latency in ms where they are known.

    Raises BadInput for a reward outside [0, 1], a negative cost or latency, or anything that is not a finite number.
    """

    reward: float
    cost_usd: float | None = None
    latency_ms: float | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be an outcome and keep the others as floats."""
        for name, top in (("reward", 1.0), ("cost_usd", math.inf), ("latency_ms", math.inf)):
            value = getattr(self, name)
            if value is None and name != "reward":
                continue
            if not isinstance(value, int | float) or not math.isfinite(value) or not 0.0 <= value <= top:
                wanted = "a number in [0, 1]" if name == "reward" else "a finite number of at least 0, or leave it out"
                raise BadInput("benchmark outcome", f"{name} is {value!r}", f"give {wanted}")
            object.__setattr__(self, name, float(value))

    @classmethod
    def mean_of(cls, found: Sequence["ArmOutcome"]) -> "ArmOutcome":
        """Return the mean of one arm's measurements on one task; the mean of the known costs and latencies."""
        return cls(
            math.fsum(outcome.reward for outcome in found) / len(found),
            _mean_of_known(outcome.cost_usd for outcome in found),
            _mean_of_known(outcome.latency_ms for outcome in found),
        )


@dataclass(frozen=True)
class BenchmarkTask:
    """One frozen task: its text, its side of the split and what each measured arm achieved on it."""

    task_id: str
    prompt: str
    domain: str | None
    split: Split
    outcomes: Mapping[str, ArmOutcome]

    def __post_init__(self) -> None:
        """Refuse a task without text or outcomes; keep the outcomes in the order of their arms."""
        thing = f"benchmark task {self.task_id!r}"
        texts = [self.task_id, self.prompt, *self.outcomes, *([] if self.domain is None else [self.domain])]
        if not all(_is_text(text) for text in texts):
            raise BadInput(
                thing,
                "its task_id, prompt, domain or an arm is empty or is not text",
                "give each as text that is not empty (the domain may be null)",
            )
        if not self.outcomes:
            raise BadInput(thing, "it has no outcome for any arm", "give at least one arm's reward, or leave it out")
        object.__setattr__(self, "outcomes", dict(sorted(self.outcomes.items())))

    @cached_property
    def key(self) -> str:
        """Return the identity of the task: the hash of its normalised text."""
        return task_key(self.prompt)


@dataclass(frozen=True)
class BenchmarkSuite:
    """A frozen set of tasks, each known by a unique id and a unique normalised text, kept in the order of their ids.

    ``holdout_share`` in [0, 1] and ``salt`` determine every task's split by its text; ``note`` is for people. Raises
    BadInput when ids or texts repeat, or when a task stands on another side of the split than its text says.
    """

    name: str
    tasks: tuple[BenchmarkTask, ...]
    holdout_share: float = 0.5
    salt: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        """Order the tasks and refuse a suite in which one task could be counted twice or leak."""
        thing = f"benchmark suite {self.name!r}"
        share = self.holdout_share
        if not isinstance(share, int | float) or not 0.0 <= share <= 1.0:
            raise BadInput(thing, f"holdout_share is {share!r}", "give a share between 0 and 1")
        if not _is_text(self.name) or not isinstance(self.salt, str) or not isinstance(self.note, str):
            raise BadInput(thing, "its name is empty, or its name, salt or note is not text", "give them as text")
        object.__setattr__(self, "tasks", tuple(sorted(self.tasks, key=lambda task: task.task_id)))
        ids: dict[str, str] = {}
        keys: dict[str, str] = {}
        for task in self.tasks:
            if task.task_id in ids:
                raise BadInput(thing, f"task_id {task.task_id!r} occurs twice", "give every task an id of its own")
            if task.key in keys:
                culprit = f"tasks {keys[task.key]!r} and {task.task_id!r} have the same text"
                raise BadInput(thing, culprit, "keep one of them, or import the long table, which merges them")
            if task.split != split_of_task(task.prompt, share, self.salt):
                culprit = f"task {task.task_id!r} is marked {task.split!r} although its text falls on the other side"
                raise BadInput(thing, culprit, "use the holdout_share and salt with which the suite was made")
            ids[task.task_id] = keys[task.key] = task.task_id

    @cached_property
    def fingerprint(self) -> str:
        """Return the SHA-256 of what is measured: tasks, outcomes and split; not of name, note or order."""
        content = [self.holdout_share, self.salt, [_json_of_task(task) for task in self.tasks]]
        return hashlib.sha256(_canonical(content).encode("ascii")).hexdigest()

    @property
    def version(self) -> str:
        """Return the short name of its content: the first 12 digits of the fingerprint."""
        return self.fingerprint[:12]

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Return every arm that has an outcome on some task, sorted."""
        return tuple(sorted({arm for task in self.tasks for arm in task.outcomes}))

    def tasks_of(self, split: Split) -> tuple[BenchmarkTask, ...]:
        """Return the tasks on one side of the split, in the order of their ids."""
        return tuple(task for task in self.tasks if task.split == split)

    def to_json(self) -> str:
        """Write the suite as JSON text, one task per line, with its fingerprint."""
        head = {
            "format": FORMAT,
            "name": self.name,
            "note": self.note,
            "holdout_share": self.holdout_share,
            "salt": self.salt,
            "fingerprint": self.fingerprint,
        }
        lines = ",\n".join("  " + json.dumps(_json_of_task(task), ensure_ascii=False) for task in self.tasks)
        return json.dumps(head, ensure_ascii=False, indent=1)[:-2] + f',\n "tasks": [\n{lines}\n ]\n}}\n'

    @classmethod
    def from_json(cls, text: str) -> "BenchmarkSuite":
        """Read what to_json wrote; raises BadInput, also when the tasks no longer match the fingerprint in the text.

        The fingerprint may be missing (a suite written by hand); where it stands it must be right.
        """
        try:
            document = json.loads(text)
        except ValueError as error:
            raise BadInput("benchmark suite", f"it is not JSON ({error})", _AGAIN) from None
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            found = document.get("format") if isinstance(document, dict) else type(document).__name__
            raise BadInput("benchmark suite", f"its format is {found!r}, not {FORMAT}", _AGAIN)
        entries = document.get("tasks")
        if not isinstance(entries, list) or "name" not in document or "holdout_share" not in document:
            raise BadInput("benchmark suite", "it lacks a name, a holdout_share or a list of tasks", _AGAIN)
        tasks = tuple(_task_of_json(entry, number) for number, entry in enumerate(entries, start=1))
        suite = cls(
            document["name"], tasks, document["holdout_share"], document.get("salt", ""), document.get("note", "")
        )
        if document.get("fingerprint", suite.fingerprint) != suite.fingerprint:
            culprit = "its tasks do not match its fingerprint: it was edited after it was frozen"
            raise BadInput(f"benchmark suite {suite.name!r}", culprit, _AGAIN)
        return suite


def save_suite(suite: BenchmarkSuite, path: Path) -> None:
    """Make a suite the one in use: write it to ``path`` in one step, and first to ``versions/`` beside it, where it stays.

    A reader sees the old file or the new one, never half of one.
    """
    folder = versions_folder(path)
    folder.mkdir(parents=True, exist_ok=True)
    content = suite.to_json().encode()
    write_atomically(folder / f"{suite.version}.json", content)
    write_atomically(path, content)


def versions_folder(path: Path) -> Path:
    """Return where every suite that was ever in use at ``path`` is kept, by version."""
    return path.parent / "versions"


def load_suite(path: Path) -> BenchmarkSuite:
    """Read a suite that save_suite wrote; raises BadInput naming the file."""
    try:
        return BenchmarkSuite.from_json(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        culprit = error.strerror or type(error).__name__
        raise BadInput(f"benchmark file {path}", culprit, "give the path of a file saved by memloop") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"benchmark file {path}", f"it is not UTF-8 text ({error.reason})", _AGAIN) from None
    except BadInput as error:
        raise BadInput(f"benchmark file {path}", f"{error.thing}: {error.culprit}", error.fix) from None


def default_suite() -> BenchmarkSuite:
    """Return the hand-written seed suite that ships with memloop: 24 memory, tool, skill and composite tasks.

    It shows the format and lets the loop run; it is far too small to promote anything, and its note says so.
    """
    file = resources.files("memloop_assets.benchmarks").joinpath("default_suite.json")
    return BenchmarkSuite.from_json(file.read_text(encoding="utf-8"))


def suite_rows(suite: BenchmarkSuite) -> pa.Table:
    """Return the long form: one row per task and arm with the columns of ROW_SCHEMA, ordered by task_id and arm.

    Name, holdout_share, salt and note travel in the schema's metadata, as far as the reader keeps it.
    """
    rows = [
        {
            "task_id": task.task_id,
            "task_key": task.key,
            "prompt": task.prompt,
            "domain": task.domain,
            "split": task.split,
            "arm": arm,
            "reward": outcome.reward,
            "cost_usd": outcome.cost_usd,
            "latency_ms": outcome.latency_ms,
        }
        for task in suite.tasks
        for arm, outcome in task.outcomes.items()
    ]
    facts = {"name": suite.name, "holdout_share": suite.holdout_share, "salt": suite.salt, "note": suite.note}
    metadata = {"memloop_benchmark": _canonical(facts)}
    return pa.Table.from_pylist(rows, schema=ROW_SCHEMA.with_metadata(metadata))


def suite_of_rows(
    table: pa.Table, *, name: str | None = None, holdout_share: float | None = None, salt: str | None = None
) -> BenchmarkSuite:
    """Return the suite that suite_rows took apart, in whatever order the rows stand now.

    What is not given is read from the schema's metadata, else it is ``benchmark``, 0.5 and no salt. Raises BadInput
    when the split of a row does not follow from them: a suite is never split anew behind anyone's back.
    """
    facts = json.loads((table.schema.metadata or {}).get(b"memloop_benchmark", b"{}"))
    outcomes: dict[str, dict[str, ArmOutcome]] = defaultdict(dict)
    heads: dict[str, dict[str, Any]] = {}
    for row in table.select(ROW_SCHEMA.names).to_pylist():
        outcomes[row["task_id"]][row["arm"]] = ArmOutcome(row["reward"], row["cost_usd"], row["latency_ms"])
        heads[row["task_id"]] = row
    tasks = tuple(
        BenchmarkTask(task_id, row["prompt"], row["domain"], row["split"], outcomes[task_id])
        for task_id, row in heads.items()
    )
    return BenchmarkSuite(
        name=facts.get("name", "benchmark") if name is None else name,
        tasks=tasks,
        holdout_share=facts.get("holdout_share", 0.5) if holdout_share is None else holdout_share,
        salt=facts.get("salt", "") if salt is None else salt,
        note=facts.get("note", ""),
    )


def _json_of_task(task: BenchmarkTask) -> dict[str, Any]:
    """Return one task as plain JSON values; unknown costs and latencies are left out."""
    outcomes = {
        arm: {name: value for name in _NUMBERS if (value := getattr(outcome, name)) is not None}
        for arm, outcome in task.outcomes.items()
    }
    return {
        "task_id": task.task_id,
        "split": task.split,
        "domain": task.domain,
        "prompt": task.prompt,
        "outcomes": outcomes,
    }


def _task_of_json(entry: Any, number: int) -> BenchmarkTask:
    """Read one task of a suite's JSON; raises BadInput naming its number."""
    try:
        outcomes = {
            arm: ArmOutcome(found["reward"], found.get("cost_usd"), found.get("latency_ms"))
            for arm, found in entry["outcomes"].items()
        }
        return BenchmarkTask(entry["task_id"], entry["prompt"], entry.get("domain"), entry["split"], outcomes)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput("benchmark suite", f"task number {number} is malformed ({error!r})", _AGAIN) from None
    except BadInput as error:
        raise BadInput("benchmark suite", f"task number {number}: {error.culprit}", error.fix) from None


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are known, None when none is."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _canonical(content: Any) -> str:
    """Return the one JSON text of a value: keys sorted, no spaces, ASCII."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _is_text(value: Any) -> bool:
    """Tell whether a value is text that is not blank and that UTF-8 can hold."""
    if not isinstance(value, str) or not value.strip():
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)
