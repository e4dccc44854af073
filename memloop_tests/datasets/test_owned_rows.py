"""Whose a row is: every row that may hold a person's line is theirs, whatever redaction has taken out of it."""

from datetime import timedelta

import pytest

from memloop_assets.datasets.owned_rows import OwnedRows
from memloop_assets.datasets.tables import DATASET_SNAPSHOT, PREFERENCE_PAIRS, ROUTER_SAMPLES
from memloop_assets.trajectories.ownership import OwnedLine, Tie, hasher
from memloop_assets.trajectories.tables import QUARANTINED_LINES, TRAJECTORIES
from memloop_tests.trajectories.samples import NOON, WEEK

HASHED = hasher(b"k" * 32)
STREAMS = {"file": "agent", "rotated": "agent", "elsewhere": "other agent"}


def owned(session: str = "", task: str = "", decision: str = "") -> OwnedRows:
    """Return what knows of one line of Ann's, at noon, with these ids."""
    tie = Tie(HASHED("session", session), HASHED("task", task), HASHED("decision", decision))
    line = OwnedLine("file", 7, NOON, NOON, (tie,), (str(WEEK),))
    return OwnedRows(HASHED, HASHED("user", "ann@example.org"), [line], STREAMS)


def is_theirs(of: OwnedRows, *, hours: float = 0, **facts: object) -> bool:
    """Tell whether a trajectory of ten minutes around noon, or some hours later, is theirs."""
    start = NOON + timedelta(hours=hours, minutes=-5)
    stamps = {"started_at": start, "ended_at": start + timedelta(minutes=10)}
    row = dict.fromkeys(TRAJECTORIES.schema.names) | {"trajectory_id": "t", "source_id": "file", "task_key": "k"}
    (found,) = of.mask("trajectories", WEEK, TRAJECTORIES.table([row | stamps | facts]))
    return found


@pytest.mark.parametrize(
    ("line", "row", "expected"),
    [
        ({"session": "s"}, {"session_id": "s"}, True),
        ({"session": "s"}, {"session_id": "s", "task_id": "another", "source_id": "rotated"}, True),
        ({"session": "s"}, {"session_id": "s", "hours": 24 * 8}, False),
        ({"session": "s"}, {"session_id": "s", "source_id": "elsewhere"}, False),
        ({"session": "s"}, {"session_id": "z"}, False),
        ({"session": "s"}, {"session_id": "<EMAIL_1>"}, True),
        ({"session": "s"}, {}, False),
        ({"task": "1"}, {"task_id": "1"}, True),
        ({"task": "1"}, {"task_id": "2"}, False),
        ({"task": "1"}, {"task_id": "1", "session_id": "s"}, False),
        ({"decision": "d"}, {"session_id": "s", "task_id": "1"}, True),
        ({}, {"user_id": "<EMAIL_1>"}, True),
        ({}, {"user_id": "u-77"}, False),
        ({}, {"user_id": "<EMAIL_1>", "hours": 1}, False),
        ({}, {"session_id": "s"}, False),
        ({"session": "s"}, {"session_id": "z", "user_id": "Ann@example.org", "hours": 999}, True),
    ],
)
def test_a_trajectory_is_theirs_unless_its_row_says_that_it_cannot_be(
    line: dict[str, str], row: dict[str, object], *, expected: bool
) -> None:
    assert is_theirs(owned(**line), **row) == expected  # type: ignore[arg-type]  # facts of a row


def test_rows_of_the_other_tables_follow_by_id() -> None:
    of = owned(session="s")
    of.trajectory_ids.add("t1")
    lines = QUARANTINED_LINES.table([{"source_id": "file", "line_number": n} for n in (7, 8)])
    assert of.mask("quarantined_lines", WEEK, lines) == [True, False]
    pairs = PREFERENCE_PAIRS.table(
        {"example_id": f"p{n}", "chosen_trajectory_id": chosen, "rejected_trajectory_id": rejected}
        for n, (chosen, rejected) in enumerate([("t1", "t2"), ("t2", "t1"), ("t2", "t3")])
    )
    assert of.mask("preference_pairs", WEEK, pairs) == [True, True, False]
    of.collect("preference_pairs", WEEK, pairs)
    snapshot = DATASET_SNAPSHOT.table(
        {"table_name": name, "example_week": week, "example_id": example}
        for name, week, example in [
            ("preference_pairs", str(WEEK), "p0"),
            ("preference_pairs", str(WEEK.shift(1)), "p0"),
            ("sft_examples", str(WEEK), "p0"),
        ]
    )
    assert of.mask("dataset_snapshot", WEEK, snapshot) == [True, False, False]


def test_a_sample_that_names_a_task_that_is_gone_goes_with_it() -> None:
    of = owned(session="s")
    of.trajectory_ids.add("t1")
    samples = ROUTER_SAMPLES.table(
        {"example_id": example, "task_key": key, "near_duplicate_of": near}
        for example, key, near in [("t1", "a", None), ("t2", "b", "a"), ("t3", "c", "b"), ("t4", "d", None)]
    )
    assert of.mask("router_samples", WEEK, samples) == [True, True, False, False]
