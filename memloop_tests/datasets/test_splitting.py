"""Splits of training files: no user, task or session is on both sides, and a mail address is told from another although no row holds it."""

import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memloop_assets.cli import main
from memloop_assets.datasets.exports.catalogue import TRAINERS
from memloop_assets.datasets.exports.splitting import place_examples, split_examples
from memloop_assets.datasets.exports.training_file import ExportOptions, Kind, export_file, report_lines
from memloop_assets.datasets.tables import PREFERENCE_PAIRS, SFT_EXAMPLES
from memloop_assets.errors import BadInput, ContractBroken, CorruptData
from memloop_assets.settings import LogSettings
from memloop_assets.store import Provenance, Store
from memloop_assets.tasks import task_key
from memloop_assets.trajectories.cutting import CutWeek, cut_week
from memloop_assets.trajectories.ownership import USER_GROUP_COUNT, user_group
from memloop_assets.trajectories.secret_rules import RULES
from memloop_assets.trajectories.sources import ReadOptions
from memloop_assets.trajectories.tables import TRAJECTORIES
from memloop_assets.weeks import IsoWeek
from memloop_tests.scenario import attempt, write_log
from memloop_tests.trajectories.samples import landing_at

WEEK = IsoWeek(2026, 12)
SHARE = 0.25
KEY = "ghp_" + "aB3dE5gH7jK9" * 3


def user_on(side: str, number: int = 0) -> str:
    """Return the numbered user whose group is on a side."""
    is_held = side == "validation"
    names = (f"user{n}@example.org" for n in range(10_000))
    found = [n for n in names if ((user_group(n) or 0) < SHARE * USER_GROUP_COUNT) == is_held]
    return found[number]


def published(folder: Path, asked: Iterable[tuple[str | None, str, str]]) -> Store:
    """Return a store with trajectories cut from a log of (user, session, request), and an example for each in the order of the log."""
    lines = []
    for number, (user, session, request) in enumerate(asked):
        at = WEEK.start + timedelta(minutes=number)
        ids = {"session_id": session, "task_id": f"t{number}", **({"user_id": user} if user else {})}
        lines += [{**line, **ids} for line in attempt(at, number, request)]
    landing = landing_at(folder)
    landing.ingest(write_log(folder / "session.jsonl", lines), ReadOptions())
    table, _ = cut_week(CutWeek(landing, LogSettings()), WEEK, {})
    rows = sorted(table.to_pylist(), key=lambda row: row["started_at"])
    store = Store(folder / "tables")
    made = store.publish(TRAJECTORIES, WEEK, table, Provenance())
    examples = [
        {
            "week": str(WEEK), "example_id": f"{number:03}", "trajectory_id": row["trajectory_id"], "task_key": row["task_key"],
            "messages_json": json.dumps([{"role": "user", "content": row["task_text"]}, {"role": "assistant", "content": "Done."}]),
            "message_count": 2, "quality_tier": "HIGH", "quality_score": 5.0,
        }
        for number, row in enumerate(rows)
    ]  # fmt: skip
    inputs = {f"trajectories {WEEK}": made.generation}
    store.publish(SFT_EXAMPLES, WEEK, SFT_EXAMPLES.table(examples), Provenance(inputs))
    pairs = [
        {
            "week": str(WEEK), "example_id": f"{number:03}", "task_key": one["task_key"], "chosen_reward": 1.0, "rejected_reward": 0.0,
            **{f"{side}_{name}": row[name] for side, row in (("chosen", one), ("rejected", other)) for name in ("week", "trajectory_id")},
            **{name: json.dumps([{"role": role, "content": text}]) for name, role, text in (
                ("prompt_json", "user", one["task_text"]), ("chosen_json", "assistant", "Yes"), ("rejected_json", "assistant", "No"))},
        }
        for number, (one, other) in enumerate(zip(rows[::2], rows[1::2], strict=False))
    ]  # fmt: skip
    store.publish(PREFERENCE_PAIRS, WEEK, PREFERENCE_PAIRS.table(pairs), Provenance(inputs))
    return store


def sides_of(store: Store, kind: str = "sft_examples") -> list[str]:
    return split_examples(store, kind, store.read(kind, WEEK).to_pylist(), SHARE)


def test_people_known_by_their_address_are_told_apart_although_no_row_holds_it(tmp_path: Path) -> None:
    people = [user_on("training"), user_on("validation"), user_on("training").upper(), None]
    store = published(tmp_path, [(user, f"s{n}", f"Request {n}") for n, user in enumerate(people)])
    rows = sorted(store.read("trajectories", WEEK).to_pylist(), key=lambda row: row["started_at"])
    assert [row["user_id"] for row in rows] == ["<EMAIL_1>"] * 3 + [None]
    groups = [row["user_group"] for row in rows]
    assert groups == [user_group(people[0]), user_group(people[1]), groups[0], None]
    assert groups[0] != groups[1]
    assert sides_of(store)[:3] == ["training", "validation", "training"]


def test_groups_are_even_and_the_same_for_ever() -> None:
    counts = [0] * USER_GROUP_COUNT
    for number in range(6400):
        counts[user_group(f"user{number}") or 0] += 1
    assert min(counts) > 60
    assert max(counts) < 150
    assert [user_group("ann@example.org"), user_group(" Ann@Example.org "), user_group("u-77"), user_group(None)] == [
        28,
        28,
        6,
        None,
    ]


ORIGINS = st.lists(
    st.tuples(
        st.sampled_from([task_key(f"Request {number}") for number in range(9)]),
        st.lists(
            st.tuples(st.none() | st.sampled_from("abcdef"), st.none() | st.integers(0, USER_GROUP_COUNT - 1)),
            min_size=1,
            max_size=2,
        ),
    )
)


@given(ORIGINS)
def test_no_user_task_or_session_is_ever_on_both_sides(
    asked: list[tuple[str, list[tuple[str | None, int | None]]]],
) -> None:
    sides = place_examples([key for key, _ in asked], [origins for _, origins in asked], SHARE)
    facts: dict[str, list[set[object]]] = {"training": [set(), set(), set()], "validation": [set(), set(), set()]}
    for (key, origins), side in zip(asked, sides, strict=True):
        if side in facts:
            facts[side][0].add(key)
            facts[side][1] |= {session for session, _ in origins} - {None}
            facts[side][2] |= {group for _, group in origins} - {None}
    assert all(one.isdisjoint(other) for one, other in zip(facts["training"], facts["validation"], strict=True))
    for (_, origins), side in zip(asked, sides, strict=True):  # nothing is left out that need not be
        held = {group < SHARE * USER_GROUP_COUNT for _, group in origins if group is not None}
        assert side == "training" or held != {False}


def test_a_pair_of_people_of_both_sides_is_on_neither(tmp_path: Path) -> None:
    here, there = user_on("training"), user_on("validation")
    asked = [(here, "a", "One"), (there, "b", "One"), (there, "c", "Two"), (user_on("validation", 1), "d", "Two")]
    assert sides_of(published(tmp_path, asked), "preference_pairs") == ["users_on_both_sides", "validation"]


@pytest.mark.parametrize("kind", ["sft", "preferences"])
def test_an_export_writes_both_sides_and_says_what_is_on_neither(tmp_path: Path, kind: Kind) -> None:
    here, there = user_on("training"), user_on("validation")
    store = published(
        tmp_path,
        [(user, f"s{n}", f"Request {n // 2}") for n, user in enumerate([here, here, there, there, here, there])],
    )
    out = tmp_path / "train.jsonl"
    report = export_file(store, kind, TRAINERS["trl"], (WEEK, WEEK), out, ExportOptions(validation_share=SHARE))
    held = (tmp_path / "train.validation.jsonl").read_text()
    assert "Request 1" in held
    assert "Request 0" not in held
    assert "Request 1" not in out.read_text()
    assert (report.written_count, report.validation_count) == ((3, 2) if kind == "sft" else (1, 1))
    assert sum(report.straddling.values()) == 1
    said = "\n".join(report_lines(report))
    assert f"train.validation.jsonl: {report.validation_count} more" in said
    assert "on neither side (1 " in said
    card = (tmp_path / "train.jsonl.card.md").read_text()
    assert "no user group, task or session is on both sides" in card


def test_a_share_out_of_bounds_is_refused_and_so_are_trajectories_that_are_gone(tmp_path: Path) -> None:
    store = published(tmp_path, [(None, "s", "Request")])
    for share in (0.0, 0.6, -1.0):
        with pytest.raises(BadInput, match="--validation-share"):
            export_file(
                store, "sft", TRAINERS["trl"], (WEEK, WEEK), tmp_path / "out", ExportOptions(validation_share=share)
            )
    store.erase("trajectories", WEEK, str(store.generation("trajectories", WEEK)))
    with pytest.raises(CorruptData, match="trajectories"):
        export_file(store, "sft", TRAINERS["trl"], (WEEK, WEEK), tmp_path / "out", ExportOptions(validation_share=0.1))
    assert not (tmp_path / "out").exists()


# the verdict on what an export would write


@pytest.mark.parametrize("place", ["content", "name", "arguments"])
def test_an_export_that_would_hold_a_key_is_refused_and_writes_nothing(tmp_path: Path, place: str) -> None:
    store, out = Store(tmp_path / "tables"), tmp_path / "train.jsonl"
    pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----"
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": json.dumps({"key": KEY})}}
    answer = {
        "content": {"role": "assistant", "content": f"Use this:\n{pem}"},
        "name": {"role": "assistant", "content": "Yes", KEY: "odd"},
        "arguments": {"role": "assistant", "content": "", "tool_calls": [call]},
    }[place]
    chat = [{"role": "user", "content": "Which?"}, answer]
    row = {
        "week": str(WEEK), "example_id": "1", "trajectory_id": "t", "task_key": task_key("Which?"), "messages_json": json.dumps(chat),
        "message_count": 2, "quality_tier": "HIGH", "quality_score": 5.0,
    }  # fmt: skip
    store.publish(SFT_EXAMPLES, WEEK, SFT_EXAMPLES.table([row]), Provenance())
    rule = "pem" if place == "content" else "github_key"
    with pytest.raises(
        ContractBroken, match=f"no secret: 1 x {WEEK} {rule}; nothing was written.*backfill {WEEK}"
    ) as refused:
        export_file(store, "sft", TRAINERS["trl"], (WEEK, WEEK), out)
    assert KEY not in str(refused.value)
    assert list(tmp_path.glob("train*")) == []
    off = ExportOptions(rules=[other for other in RULES if other.name != rule])
    assert export_file(store, "sft", TRAINERS["trl"], (WEEK, WEEK), out, off).written_count == 1


def test_the_command_honours_the_rules_that_are_off_and_the_card_says_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "memloop.toml").write_text("")
    store = Store(tmp_path / "data" / "tables")
    chat = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": KEY}]
    row = {
        "week": str(WEEK), "example_id": "1", "trajectory_id": "t", "task_key": task_key("Which?"), "messages_json": json.dumps(chat),
        "message_count": 2, "quality_tier": "HIGH", "quality_score": 5.0,
    }  # fmt: skip
    store.publish(SFT_EXAMPLES, WEEK, SFT_EXAMPLES.table([row]), Provenance())
    command = [
        "--home",
        str(tmp_path),
        "export",
        "sft",
        "--for",
        "trl",
        "--weeks",
        str(WEEK),
        "--out",
        str(tmp_path / "t.jsonl"),
    ]
    assert main(command) == 1
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "memloop.toml").write_text('[redaction]\noff = ["github_key"]\n')
    assert main(command) == 0
    certain = sum(rule.is_certain for rule in RULES) - 1
    assert f"none of {certain} certain rules" in (tmp_path / "t.jsonl.card.md").read_text()
