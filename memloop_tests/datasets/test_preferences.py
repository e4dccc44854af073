"""Preference pairs: the same prompt answered twice, one answer known to be better, and nothing else."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from memloop_assets.datasets.leakage import no_holdout_overlap
from memloop_assets.datasets.preferences import build_preference_pairs, read_trials
from memloop_assets.datasets.tables import PREFERENCE_PAIRS
from memloop_assets.errors import InputFailed
from memloop_assets.settings import DatasetSettings
from memloop_assets.store import Provenance, Store, hash_rows
from memloop_assets.tasks import task_key
from memloop_assets.trajectories.tables import TRAJECTORIES, TRAJECTORY_QUALITY
from memloop_assets.weeks import IsoWeek
from memloop_tests.datasets.graded import trajectory

WEEK = IsoWeek(2026, 12)
SETTINGS = DatasetSettings()
NOBODY: frozenset[str] = frozenset()

Trial = dict[str, object]


def trial(name: str, reward: float | None, tier: str = "HIGH", week: IsoWeek = WEEK, **changes: object) -> Trial:
    """Return one judged trajectory with its grade."""
    text = changes.pop("task_text", "Cancel my order")
    row = trajectory(name, text, reward=reward, is_known_failure=reward is not None and reward < 0.5)
    return {**row, "week": str(week), "quality_tier": tier, **changes}


def pairs(*trials: Trial, settings: DatasetSettings = SETTINGS) -> list[tuple[str, str]]:
    rows, _counts = build_preference_pairs(WEEK, pa.Table.from_pylist(list(trials)), settings)
    assert PREFERENCE_PAIRS.violations(PREFERENCE_PAIRS.conform(rows)) == []
    return [(row["chosen_trajectory_id"], row["rejected_trajectory_id"]) for row in rows.to_pylist()]


def publish(store: Store, week: IsoWeek, *trials: Trial) -> None:
    names = {column.name for column in TRAJECTORIES.columns}
    filled: Trial = {"event_count": 1}
    filled |= dict.fromkeys((name for name in names if name.endswith("_count") and name != "event_count"), 0)
    filled |= {"first_line": 1, "last_line": 1, "source_id": "s", "file_name": "f", "session_date": "2026-03-17"}
    filled |= {"started_at": week.start, "ended_at": week.start, "is_synthetic_time": False}
    filled |= dict.fromkeys(("has_successful_tool_call", "is_multi_step"), False)
    filled |= {"domain_tags_json": '["billing"]'}
    filled |= dict.fromkeys(("errors_json", "decisions_json", "extra_json"), "[]")
    rows = [{**filled, **{k: v for k, v in one.items() if k in names}, "week": str(week)} for one in trials]
    store.publish(TRAJECTORIES, week, TRAJECTORIES.table(rows), Provenance())
    grades = [
        {
            "week": str(week),
            "trajectory_id": one["trajectory_id"],
            "quality_tier": one["quality_tier"],
            "quality_score": 2.0,
            "reasons_json": "[]",
            "rule_number": 1,
        }
        for one in trials
    ]
    store.publish(TRAJECTORY_QUALITY, week, TRAJECTORY_QUALITY.table(grades), Provenance())


def test_a_pair_is_one_prompt_and_two_answers_with_where_they_come_from() -> None:
    rows, counts = build_preference_pairs(
        WEEK, pa.Table.from_pylist([trial("good", 0.9), trial("bad", 0.3, arm="large-model")]), SETTINGS
    )
    (pair,) = rows.to_pylist()
    assert counts == {}
    assert json.loads(pair["prompt_json"]) == [{"role": "user", "content": "Cancel my order"}]
    assert [message["role"] for message in json.loads(pair["chosen_json"])] == ["assistant", "tool", "assistant"]
    assert json.loads(pair["chosen_json"])[-1]["content"] == "done by good"
    assert json.loads(pair["rejected_json"])[-1]["content"] == "done by bad"
    facts = ("task_key", "chosen_week", "rejected_week", "chosen_arm", "rejected_arm", "chosen_reward", "week")
    assert [pair[name] for name in facts] == [
        task_key("Cancel my order"), "2026-W12", "2026-W12", "small-model", "large-model", 0.9, "2026-W12",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rewards", "margin", "is_pair"), [((0.9, 0.6), 0.3, True), ((0.9, 0.61), 0.3, False), ((1.0, 0.9), 0.1, True)]
)
def test_rewards_lie_apart_by_the_margin(rewards: tuple[float, float], margin: float, *, is_pair: bool) -> None:
    made = pairs(trial("a", rewards[0]), trial("b", rewards[1]), settings=DatasetSettings(preference_margin=margin))
    assert made == ([("a", "b")] if is_pair else [])


def test_a_better_half_is_never_paired_with_the_worse_half_of_another_prompt() -> None:
    assert pairs(trial("a", 0.9), trial("b", 0.3, task_text="Where is it?")) == []
    spoken = trial("z", 0.0, task_text="Cancel my order")
    messages = json.loads(str(spoken["messages_json"]))
    spoken["messages_json"] = json.dumps([{"role": "system", "content": "Be rude.", "seq": -1}, *messages])
    rows, counts = build_preference_pairs(WEEK, pa.Table.from_pylist([trial("a", 0.9), spoken]), SETTINGS)
    assert (rows.num_rows, counts) == (0, {"different_prompt_count": 1})


def test_the_same_task_written_otherwise_is_the_same_task() -> None:
    assert pairs(trial("a", 1.0), trial("b", 0.0, task_text="CANCEL  my order")) == [("a", "b")]


def test_low_grades_and_known_failures_are_rejected_and_never_chosen() -> None:
    assert pairs(trial("a", 1.0, "LOW"), trial("b", 0.0)) == []
    assert pairs(trial("a", 1.0, "MEDIUM"), trial("b", 0.2, "LOW")) == [("a", "b")]
    assert pairs(trial("a", 0.4), trial("b", 0.0)) == []


def test_an_answer_stands_in_one_pair_and_a_task_has_at_most_as_many_as_allowed() -> None:
    trials = [*(trial(f"good{n}", 1.0) for n in range(9)), *(trial(f"bad{n}", 0.1 * n) for n in range(4))]
    made = pairs(*trials, settings=DatasetSettings(preference_pairs_per_task=3))
    assert sorted(made) == [("good0", "bad0"), ("good1", "bad1"), ("good2", "bad2")]
    assert len(pairs(*trials)) == 4


def test_the_order_of_the_rows_changes_nothing() -> None:
    trials = [trial(name, reward) for name, reward in zip("abcdef", (1.0, 1.0, 0.9, 0.1, 0.0, 0.0), strict=True)]
    hashes = {
        hash_rows(PREFERENCE_PAIRS.conform(build_preference_pairs(WEEK, pa.Table.from_pylist(order), SETTINGS)[0]))
        for order in (trials, trials[::-1], trials[3:] + trials[:3])
    }
    assert len(hashes) == 1


def test_equal_answers_teach_no_preference() -> None:
    one, other = trial("a", 1.0), trial("b", 0.0)
    other["messages_json"] = one["messages_json"]
    rows, counts = build_preference_pairs(WEEK, pa.Table.from_pylist([one, other]), SETTINGS)
    assert (rows.num_rows, counts) == (0, {"equal_answer_count": 1})


def test_the_same_words_in_two_sessions_are_one_pair() -> None:
    good, bad = trial("a", 1.0), trial("b", 0.0)
    again = [{**good, "trajectory_id": "c"}, {**bad, "trajectory_id": "d"}]
    assert len(pairs(good, bad, *again)) == 1


# over weeks


def test_an_earlier_answer_meets_a_later_one_in_the_later_week_and_old_pairs_are_not_repeated(tmp_path: Path) -> None:
    store, before = Store(tmp_path), WEEK.shift(-1)
    publish(store, before, trial("old", 1.0), trial("older", 0.0), trial("lone", 1.0, task_text="Where is it?"))
    publish(store, WEEK, trial("new", 0.1))
    rows, inputs, missing, _excluded = read_trials(store, [before, WEEK], NOBODY)
    assert sorted(rows["trajectory_id"].to_pylist()) == ["new", "old", "older"]
    (pair,) = build_preference_pairs(WEEK, rows, SETTINGS)[0].to_pylist()
    assert (pair["chosen_trajectory_id"], pair["rejected_trajectory_id"]) == ("old", "new")
    assert (pair["week"], pair["chosen_week"], pair["rejected_week"]) == ("2026-W12", "2026-W11", "2026-W12")
    names = ("trajectories", "trajectory_quality")
    assert inputs == {f"{name} {week}": store.generation(name, week) for name in names for week in (before, WEEK)}
    assert missing == []


def test_a_trajectory_read_in_two_weeks_belongs_to_the_earlier_one(tmp_path: Path) -> None:
    store, before = Store(tmp_path), WEEK.shift(-1)
    publish(store, before, trial("a", 1.0), trial("b", 0.0))
    publish(store, WEEK, trial("a", 1.0), trial("b", 0.0))
    rows, _inputs, _missing, _excluded = read_trials(store, [before, WEEK], NOBODY)
    assert build_preference_pairs(WEEK, rows, SETTINGS)[0].num_rows == 0


def test_a_hole_in_an_earlier_week_is_named_and_one_in_the_week_itself_is_refused(tmp_path: Path) -> None:
    store, before = Store(tmp_path), WEEK.shift(-1)
    publish(store, WEEK, trial("a", 1.0), trial("b", 0.0))
    _rows, inputs, missing, _excluded = read_trials(store, [before, WEEK], NOBODY)
    assert missing == ["trajectories 2026-W11", "trajectory_quality 2026-W11"]
    assert [inputs[name] for name in missing] == ["missing"] * 2
    with pytest.raises(InputFailed):
        read_trials(store, [WEEK, WEEK.shift(1)], NOBODY)


def test_the_holdout_other_origins_and_what_nobody_judged_make_no_pairs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    held = frozenset({task_key("held out")})
    publish(
        store, WEEK,
        trial("a", 1.0, task_text="Held OUT"), trial("b", 0.0, task_text="held out"),
        trial("c", 1.0, origin="benchmark"), trial("d", 0.0, origin="replay"), trial("e", None),
    )  # fmt: skip
    rows, _inputs, _missing, excluded = read_trials(store, [WEEK], held)
    made, _counts = build_preference_pairs(WEEK, rows, SETTINGS)
    assert (rows.num_rows, made.num_rows, excluded) == (0, 0, 2)
    assert no_holdout_overlap(held)(made).is_kept


def test_a_week_without_logs_has_no_pairs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, WEEK)
    rows, _inputs, _missing, _excluded = read_trials(store, [WEEK], NOBODY)
    assert PREFERENCE_PAIRS.conform(build_preference_pairs(WEEK, rows, SETTINGS)[0]).num_rows == 0
