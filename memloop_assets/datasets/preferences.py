"""Preference pairs: two answers to the same task, one known to have earned more than the other.

Both sides answer the same prompt, never prompts of different tasks. A pair belongs to the week of its later side; the other side may lie
anywhere in the retention window. LOW grades, known failures and answers from a context marked as wrong may be rejected, never chosen.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from memloop_assets.datasets.conversations import Chat, is_same_prompt, split_prompt, to_training_chat
from memloop_assets.datasets.graded import GradedWeek
from memloop_assets.datasets.leakage import HoldoutKeys, drop_holdout
from memloop_assets.datasets.supervised import TEACHING_ORIGINS
from memloop_assets.datasets.tables import PREFERENCE_PAIRS
from memloop_assets.errors import TableError
from memloop_assets.settings import DatasetSettings
from memloop_assets.store import MISSING, Store
from memloop_assets.trajectories.formats.reader import canonical_json
from memloop_assets.trajectories.tables import TRAJECTORIES
from memloop_assets.weeks import IsoWeek

_INPUTS = ("trajectories", "trajectory_quality")
_TRIAL_COLUMNS = (
    "week",
    "trajectory_id",
    "task_key",
    "task_text",
    "domain",
    "arm",
    "reward",
    "is_known_failure",
    "is_context_wrong",
    "messages_json",
    "tool_calls_json",
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One judged answer to a task: who gave it, what it earned, and whether it is worth imitating."""

    trajectory_id: str
    week: str
    arm: str | None
    reward: float
    may_be_chosen: bool
    prompt: Chat
    completion: Chat


def read_trials(
    store: Store, window: Sequence[IsoWeek], holdout: HoldoutKeys
) -> tuple[pa.Table, dict[str, str], list[str], int]:
    """Return the judged trajectories of a window whose task occurs in its last week, as rows with their ``quality_tier``.

    With them: every input's generation, the inputs of earlier weeks that cannot be read by name, and how many rows of the last
    week the holdout took out. A trajectory read in two weeks counts in the earlier one. Raises InputFailed where the last week is missing.
    """
    missing: list[str] = []
    graded = GradedWeek.pin(store, window[-1])
    this_week, excluded = drop_holdout(_judged(graded), holdout)
    tasks = this_week["task_key"].combine_chunks()
    parts, inputs = [_with_grades(graded, this_week)], dict(graded.inputs)
    for week in window[:-1]:
        try:
            earlier = GradedWeek.pin(store, week)
            parts.append(_with_grades(earlier, _judged(earlier, tasks)))
            read = dict(earlier.inputs)
        except TableError:  # an earlier week only adds sides: a hole in it is no reason to lose this week's pairs
            read = dict.fromkeys((f"{name} {week}" for name in _INPUTS), MISSING)
            missing += read
        inputs.update(read)
    return pa.concat_tables(parts), inputs, missing, excluded


def build_preference_pairs(week: IsoWeek, rows: pa.Table, settings: DatasetSettings) -> tuple[pa.Table, dict[str, int]]:
    """Return the week's pairs and what was left out, by reason; the same rows in any order give the same pairs.

    Per task the pairs with the largest difference of reward come first, ties by id; a trajectory stands in at most one pair of a week.
    """
    counts: Counter[str] = Counter()
    pairs = []
    for key, trials in sorted(_trials_by_task(rows, counts).items()):
        for chosen, rejected in _pairs_of_task(week, trials, settings, counts):
            pairs.append(_pair_row(week, key, chosen, rejected))
    return PREFERENCE_PAIRS.table(pairs), dict(counts)


def _judged(graded: GradedWeek, tasks: pa.Array | None = None) -> pa.Table:
    """Return a week's teaching trajectories with a known reward and a task, of the given tasks alone where they are given."""
    narrow = graded.trajectories(["task_key", "task_text", "origin", "reward"])
    wanted = pc.and_(
        pc.is_in(narrow["origin"], pa.array(TEACHING_ORIGINS, pa.large_string())), pc.is_valid(narrow["reward"])
    )
    wanted = pc.and_(wanted, pc.not_equal(narrow["task_text"], ""))
    if tasks is not None:
        wanted = pc.and_(wanted, pc.is_in(narrow["task_key"], tasks))
    places = pa.array(range(narrow.num_rows), pa.int64()).filter(wanted.combine_chunks())
    if not len(places):  # the wide columns of a week without any such task are never read
        return TRAJECTORIES.table([]).select(_TRIAL_COLUMNS)
    return graded.trajectories(_TRIAL_COLUMNS).take(places)


def _with_grades(graded: GradedWeek, rows: pa.Table) -> pa.Table:
    grades = graded.quality(["trajectory_id", "quality_tier"])
    places = pc.index_in(rows["trajectory_id"], value_set=grades["trajectory_id"].combine_chunks())
    columns = {name: rows[name] for name in _TRIAL_COLUMNS}
    return pa.table({**columns, "quality_tier": grades["quality_tier"].take(places)})


def _trials_by_task(rows: pa.Table, counts: Counter[str]) -> dict[str, list[Trial]]:
    """Return the answered trials by task; tasks that were tried once are left out unread."""
    ordered = sorted(rows.to_pylist(), key=lambda row: (row["week"], row["trajectory_id"]))
    unique = {row["trajectory_id"]: row for row in reversed(ordered)}  # the earliest week of a trajectory wins
    repeats = Counter(row["task_key"] for row in unique.values())
    tasks: dict[str, list[Trial]] = defaultdict(list)
    for row in unique.values():
        if repeats[row["task_key"]] < 2:
            counts["tried_once_count"] += 1
            continue
        chat = to_training_chat(orjson.loads(row["messages_json"]), orjson.loads(row["tool_calls_json"]))
        prompt, completion = split_prompt(chat)
        if not completion:
            counts["unanswered_count"] += 1
            continue
        is_good = row["quality_tier"] != "LOW" and not row["is_known_failure"] and not row["is_context_wrong"]
        facts = (row["trajectory_id"], row["week"], row["arm"], row["reward"])
        tasks[row["task_key"]].append(Trial(*facts, may_be_chosen=is_good, prompt=prompt, completion=completion))
    return tasks


def _pairs_of_task(
    week: IsoWeek, trials: Sequence[Trial], settings: DatasetSettings, counts: Counter[str]
) -> Iterator[tuple[Trial, Trial]]:
    """Yield a task's pairs, at most as many as the settings allow; one side at least is of the week."""
    limit = settings.preference_pairs_per_task
    used: set[str] = set()
    said: set[str] = set()
    best = sorted((t for t in trials if t.may_be_chosen), key=lambda t: (-t.reward, t.trajectory_id))
    worst = sorted(trials, key=lambda t: (t.reward, t.trajectory_id))
    candidates = product(_ends(best, week, limit), _ends(worst, week, limit))
    for chosen, rejected in sorted(
        candidates, key=lambda pair: (pair[1].reward - pair[0].reward, pair[0].trajectory_id, pair[1].trajectory_id)
    ):
        if len(said) == limit or chosen.reward - rejected.reward < settings.preference_margin - 1e-9:
            return
        if used & {chosen.trajectory_id, rejected.trajectory_id} or str(week) not in {chosen.week, rejected.week}:
            continue
        words = canonical_json([chosen.prompt, chosen.completion, rejected.completion])
        if not is_same_prompt(chosen.prompt, rejected.prompt):
            counts["different_prompt_count"] += 1
        elif chosen.completion == rejected.completion or words in said:
            counts["equal_answer_count"] += 1
        else:
            used |= {chosen.trajectory_id, rejected.trajectory_id}
            said.add(words)
            yield chosen, rejected


def _ends(ordered: Sequence[Trial], week: IsoWeek, limit: int) -> list[Trial]:
    """Return the first trials of the week and the first of the weeks before it: a task tried a thousand times stays cheap."""
    new = [trial for trial in ordered if trial.week == str(week)]
    old = [trial for trial in ordered if trial.week != str(week)]
    return new[: 2 * limit] + old[: 2 * limit]


def _pair_row(week: IsoWeek, key: str, chosen: Trial, rejected: Trial) -> dict[str, object]:
    parts = [canonical_json(part) for part in (chosen.prompt, chosen.completion, rejected.completion)]
    return {
        "week": str(week),
        "example_id": hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:32],
        "task_key": key,
        "prompt_json": parts[0],
        "chosen_json": parts[1],
        "rejected_json": parts[2],
        "chosen_trajectory_id": chosen.trajectory_id,
        "rejected_trajectory_id": rejected.trajectory_id,
        "chosen_week": chosen.week,
        "rejected_week": rejected.week,
        "chosen_arm": chosen.arm,
        "rejected_arm": rejected.arm,
        "chosen_reward": chosen.reward,
        "rejected_reward": rejected.reward,
    }
