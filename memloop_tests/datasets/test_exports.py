"""Exports: every trainer's exact shape, what it would refuse by reason, and files that are the same for the same tables."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from memloop_assets.cli import main
from memloop_assets.datasets.conversations import Chat, to_training_chat, trim_to_last_answer
from memloop_assets.datasets.exports.catalogue import TRAINERS
from memloop_assets.datasets.exports.training_file import (
    KINDS,
    ExportOptions,
    ExportReport,
    Kind,
    export_file,
    report_lines,
)
from memloop_assets.datasets.tables import PREFERENCE_PAIRS, SFT_EXAMPLES
from memloop_assets.errors import BadInput, InputFailed
from memloop_assets.store import Provenance, Store
from memloop_assets.tasks import task_key
from memloop_assets.weeks import IsoWeek
from memloop_tests.scenario import finished_home

WEEK = IsoWeek(2026, 12)
REAL = Path(__file__).parents[3] / "shared" / "data" / "tau-bench" / "gpt-4o-airline.json"

CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"order": 17}'}}
CHAT: Chat = [
    {"role": "developer", "content": "Be kind."},
    {"role": "user", "content": "Where is it?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "name": "find", "content": "Tönis"},
    {"role": "assistant", "content": "In Tönis."},
]
THANKS = {"role": "user", "content": "Thanks"}
PAIR = (CHAT[:2], [{"role": "assistant", "content": "There."}], [{"role": "assistant", "content": "No."}])


def conversation(roles: str) -> Chat:
    return [{"role": role, "content": f"{place}"} for place, role in enumerate(roles.split())]


def publish(store: Store, week: IsoWeek, *chats: Chat, pairs: Sequence[tuple[Chat, Chat, Chat]] = ()) -> None:
    """Publish a week with these conversations and pairs, known by their content."""
    spoken = [
        {
            "week": str(week), "example_id": task_key(json.dumps(chat)), "trajectory_id": "t",
            "task_key": task_key(str(chat[1]["content"])), "messages_json": json.dumps(chat), "message_count": len(chat),
            "quality_tier": "HIGH", "quality_score": 5.0,
        }
        for chat in chats
    ]  # fmt: skip
    names = ("prompt_json", "chosen_json", "rejected_json")
    facts = {f"{side}_{name}": "x" for side in ("chosen", "rejected") for name in ("trajectory_id", "week")}
    compared = [
        {"week": str(week), "example_id": str(number), "task_key": "k", "chosen_reward": 1.0, "rejected_reward": 0.0}
        | facts
        | {name: json.dumps(part) for name, part in zip(names, pair, strict=True)}
        for number, pair in enumerate(pairs)
    ]
    store.publish(SFT_EXAMPLES, week, SFT_EXAMPLES.table(spoken), Provenance())
    store.publish(PREFERENCE_PAIRS, week, PREFERENCE_PAIRS.table(compared), Provenance())


def export(store: Store, out: Path, kind: Kind = "sft", trainer: str = "openai", weeks: int = 1) -> ExportReport:
    how = ExportOptions(may_replace=True)
    return export_file(store, kind, TRAINERS[trainer], (WEEK, WEEK.shift(weeks - 1)), out, how)


# the shapes


def test_openai_reads_messages_with_calls_and_answers_by_id_and_content_that_is_text_or_absent() -> None:
    assert TRAINERS["openai"].sft_record(CHAT) == {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Where is it?"},
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "content": "Tönis", "tool_call_id": "c1"},
            {"role": "assistant", "content": "In Tönis."},
        ]
    }


@pytest.mark.parametrize("trainer", ["trl", "axolotl"])
def test_trl_and_axolotl_read_conversational_messages(trainer: str) -> None:
    assert TRAINERS[trainer].sft_record(CHAT) == {"messages": [{"role": "system", "content": "Be kind."}, *CHAT[1:]]}


def test_llamafactory_reads_alternating_turns_with_calls_as_json() -> None:
    record = TRAINERS["llamafactory"].sft_record(CHAT)
    assert record == {
        "system": "Be kind.",
        "conversations": [
            {"from": "human", "value": "Where is it?"},
            {"from": "function_call", "value": '{"name": "find", "arguments": {"order": 17}}'},
            {"from": "observation", "value": "Tönis"},
            {"from": "gpt", "value": "In Tönis."},
        ],
    }


def test_calls_made_at_once_are_one_turn_of_llamafactory_and_so_are_their_answers() -> None:
    other = {**CALL, "id": "c2"}
    chat = [
        *CHAT[:2], {"role": "assistant", "content": "", "tool_calls": [CALL, other]},
        {**CHAT[3], "content": "a"}, {**CHAT[3], "tool_call_id": "c2", "content": "b"}, CHAT[4],
    ]  # fmt: skip
    trainer = TRAINERS["llamafactory"]
    assert trainer.sft_fault(chat) is None
    turns = trainer.sft_record(chat)["conversations"]
    assert [turn["from"] for turn in turns] == ["human", "function_call", "observation", "gpt"]
    assert len(json.loads(turns[1]["value"])) == 2
    assert turns[2]["value"] == "a\nb"


def test_each_trainer_has_its_own_shape_of_a_pair() -> None:
    prompt, chosen, rejected = PAIR
    prompt = [{"role": "system", "content": "Be kind."}, prompt[1]]
    assert {name: trainer.pair_record(PAIR) for name, trainer in TRAINERS.items()} == {
        "openai": {
            "input": {"messages": prompt, "tools": [], "parallel_tool_calls": True},
            "preferred_output": chosen,
            "non_preferred_output": rejected,
        },
        "trl": {"prompt": prompt, "chosen": chosen, "rejected": rejected},
        "axolotl": {"messages": prompt, "chosen": chosen[0], "rejected": rejected[0]},
        "llamafactory": {
            "system": "Be kind.",
            "conversations": [{"from": "human", "value": "Where is it?"}],
            "chosen": {"from": "gpt", "value": "There."},
            "rejected": {"from": "gpt", "value": "No."},
        },
    }


# what a trainer refuses


@pytest.mark.parametrize(
    ("roles", "openai", "trl", "llamafactory"),
    [
        ("system user assistant", None, None, None),
        ("user assistant user", "ends_with_user", None, "ends_with_user"),
        ("user user assistant", None, None, "roles_do_not_alternate"),
        ("assistant user assistant", None, None, "roles_do_not_alternate"),
        ("user assistant system assistant", None, None, "roles_do_not_alternate"),
        ("user", "no_assistant_message", "no_assistant_message", "no_assistant_message"),
        ("system assistant", "no_user_message", "no_user_message", "no_user_message"),
        ("user tool assistant", "tool_answer_without_call", None, "roles_do_not_alternate"),
    ],
)
def test_what_each_trainer_refuses_has_a_reason(
    roles: str, openai: str | None, trl: str | None, llamafactory: str | None
) -> None:
    found = {name: trainer.sft_fault(conversation(roles)) for name, trainer in TRAINERS.items()}
    assert found == {"openai": openai, "trl": trl, "axolotl": trl, "llamafactory": llamafactory}


def test_a_call_may_stay_open_at_the_end_alone() -> None:
    assert TRAINERS["openai"].sft_fault(CHAT[:3]) is None
    assert TRAINERS["openai"].sft_fault([*CHAT[:3], THANKS, CHAT[4]]) == "tool_call_without_answer"


def test_trainers_that_compare_single_answers_refuse_longer_ones_and_calls() -> None:
    single = ("openai", "axolotl", "llamafactory")
    long, call = (CHAT[:2], CHAT[2:], PAIR[2]), (CHAT[:2], PAIR[1], CHAT[2:3])
    assert {TRAINERS[name].pair_fault(long) for name in single} == {"answer_of_several_messages"}
    assert {TRAINERS[name].pair_fault(call) for name in single} == {"tool_call_as_answer"}
    assert [TRAINERS["trl"].pair_fault(pair) for pair in (long, call)] == [None, None]
    assert TRAINERS["llamafactory"].pair_fault((conversation("user user"), *PAIR[1:])) == "roles_do_not_alternate"


# the file


def test_a_file_holds_what_can_be_trained_on_trimmed_and_says_why_the_rest_is_missing(tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    publish(store, WEEK, CHAT, [*CHAT, THANKS], conversation("user user assistant"))
    report = export(store, tmp_path / "train.jsonl", trainer="llamafactory")
    lines = (tmp_path / "train.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["conversations"][-1]["from"] for line in lines] == ["gpt", "gpt"]
    assert report.raw_faults == {"ends_with_user": 1, "roles_do_not_alternate": 1}
    assert report.faults == {"roles_do_not_alternate": 1}
    assert list(report_lines(report)) == [
        "train.jsonl: 2 of 3 examples written for llamafactory, 2026-W12..2026-W12",
        "  trainable as logged: 1 of 3 (1 ends_with_user, 1 roles_do_not_alternate)",
        "  trimmed to the last answer: 2 of 3 (1 roles_do_not_alternate)",
    ]


def test_an_example_of_two_weeks_is_written_once_and_a_week_that_is_not_there_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    publish(store, WEEK, CHAT)
    publish(store, WEEK.shift(2), CHAT, conversation("system user assistant"))
    report = export(store, tmp_path / "train.jsonl", weeks=3)
    assert (report.example_count, report.written_count, report.duplicate_count) == (2, 2, 1)
    assert report.missing_weeks == ["2026-W13"]
    assert "memloop backfill" in "\n".join(report_lines(report))


def test_the_card_names_rows_weeks_generations_and_leaves_the_licence_to_its_owner(tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    publish(store, WEEK, CHAT, pairs=[PAIR])
    for kind in KINDS:
        for trainer in TRAINERS:
            export(store, tmp_path / "train.jsonl", kind, trainer)  # type: ignore[arg-type]  # a key of KINDS
            card = (tmp_path / "train.jsonl.card.md").read_text()
            assert "rows: 1 of 1" in card
            assert f"| {KINDS[kind]} 2026-W12 | `{store.generation(KINDS[kind], WEEK)}` |" in card
            assert "licence: (yours" in card
            assert "train.jsonl" in card.split("How to load it")[1]
            assert str(tmp_path) not in card


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    publish(store, WEEK, CHAT, conversation("user assistant"), pairs=[PAIR])
    written = []
    for _again in range(2):
        export(store, tmp_path / "a.jsonl", trainer="trl")
        written.append([(tmp_path / name).read_bytes() for name in ("a.jsonl", "a.jsonl.card.md")])
    assert written[0] == written[1]


def test_weeks_that_were_never_built_and_folders_that_are_not_there_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    with pytest.raises(InputFailed, match="none of these weeks"):
        export(store, tmp_path / "train.jsonl")
    publish(store, WEEK, CHAT)
    for out in (tmp_path, tmp_path / "nowhere" / "train.jsonl"):
        with pytest.raises(BadInput, match="--out"):
            export(store, out)


@pytest.mark.parametrize("kind", ["sft", "preferences"])
@pytest.mark.parametrize("lies_there", ["train.jsonl", "train.jsonl.card.md", "train.validation.jsonl"])
def test_what_lies_there_is_not_replaced_unasked(tmp_path: Path, kind: Kind, lies_there: str) -> None:
    store, precious = Store(tmp_path / "tables"), tmp_path / lies_there
    publish(store, WEEK, CHAT)
    precious.write_text("mine")
    with pytest.raises(BadInput, match=f"--out: {lies_there} lies there. Fix: name another file, or .* --force"):
        export_file(store, kind, TRAINERS["openai"], (WEEK, WEEK), tmp_path / "train.jsonl")
    assert [path.name for path in tmp_path.glob("train*")] == [lies_there]
    assert precious.read_text() == "mine"
    report = export(store, tmp_path / "train.jsonl", kind)
    is_left = lies_there == "train.validation.jsonl"
    assert (precious.read_text() == "mine") == is_left
    assert any("train.validation.jsonl is of an earlier export" in line for line in report_lines(report)) == is_left


def test_memloop_export_writes_a_file_of_a_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = finished_home(tmp_path / "home")
    out = tmp_path / "train.jsonl"
    told = ["--home", str(home.settings.home), "export", "sft", "--for", "llamafactory", "--weeks"]
    assert main([*told, "2026-W02..2026-W03", "--out", str(out)]) == 0
    count = sum(home.store.read("sft_examples", IsoWeek(2026, number)).num_rows for number in (2, 3))
    assert f"{count} of {count} examples written" in capsys.readouterr().out
    assert len(out.read_bytes().splitlines()) == count
    assert main([*told, "2026-W02", "--out", str(out)]) == 1
    assert "train.jsonl, train.jsonl.card.md lies there" in capsys.readouterr().err
    assert main([*told, "2026-W02", "--out", str(out), "--force"]) == 0
    assert len(out.read_bytes().splitlines()) == home.store.read("sft_examples", IsoWeek(2026, 2)).num_rows
    assert main([*told, "2025-W01", "--out", str(tmp_path / "other.jsonl")]) == 1
    assert "none of these weeks can be read" in capsys.readouterr().err


@pytest.mark.skipif(not REAL.exists(), reason="needs shared/data/tau-bench, which is not part of the repository")
@pytest.mark.parametrize("trainer", TRAINERS)
def test_every_real_session_can_be_trained_on_once_trimmed_to_its_last_answer(trainer: str) -> None:
    chats = [
        to_training_chat([{"content": None, **m, "seq": seq} for seq, m in enumerate(run["traj"])], [])
        for run in json.loads(REAL.read_bytes())
    ]
    last = [chat[-1]["role"] for chat in chats]
    assert (len(chats), last.count("user"), last.count("tool")) == (200, 149, 51)
    raw = sum(TRAINERS[trainer].sft_fault(chat) is None for chat in chats)
    trimmed = [chat for chat in map(trim_to_last_answer, chats) if TRAINERS[trainer].sft_fault(chat) is None]
    print(f"{trainer}: {raw} of 200 trainable as logged, {len(trimmed)} trimmed")
    assert raw == {"openai": 0, "trl": 200, "axolotl": 200, "llamafactory": 0}[trainer]
    assert len(trimmed) == 200
    arguments = [call["function"]["arguments"] for chat in trimmed for m in chat for call in m.get("tool_calls", ())]
    assert len(arguments) == 1164
    assert all(isinstance(json.loads(text), dict) for text in arguments)
