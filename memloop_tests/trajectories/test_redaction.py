import json
import random
import time
from collections import Counter
from datetime import UTC
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memloop_assets.errors import BadInput, BadSettings
from memloop_assets.settings import ROOM_SECTIONS
from memloop_assets.trajectories.formats.reader import Rejected
from memloop_assets.trajectories.redaction import (
    RedactionSettings,
    Redactor,
    redact_error,
    redact_rejected,
    redact_trajectory,
)
from memloop_assets.trajectories.secret_rules import RULES
from memloop_assets.trajectories.trajectory import Trajectory
from memloop_tests.architecture.source_tree import ROOT
from memloop_tests.trajectories.planted import KINDS, KINDS_OF_KEYS, PERSONAL, POSITIONS, plant
from memloop_tests.trajectories.samples import NOON, after, event

TAU_BENCH = ROOT.parent / "shared" / "data" / "tau-bench" / "gpt-4o-airline.json"
PLANTS_OF_A_KIND = 150
KEY = "sk-ant-api03-" + "aB3_" * 20


def spellings(value: str) -> list[str]:
    """Return a value as it stands in text, in JSON, and in JSON inside JSON."""
    found = [value]
    for _ in range(3):
        found.append(json.dumps(found[-1], ensure_ascii=False)[1:-1])
    return found


def is_gone(value: str, redacted: Any) -> bool:
    """Tell whether no line of a value is left anywhere; of a PEM block, no line of its body."""
    parts = [part for line in value.split("\n") for part in line.split("\\n") if not part.startswith("-----")]
    text = json.dumps(redacted, ensure_ascii=False)
    return not any(spelling in text for part in parts for spelling in spellings(part))


def strings_of(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in (key, *strings_of(inner))]
    if isinstance(value, list):
        return [text for item in value for text in strings_of(item)]
    return [value] if isinstance(value, str) else []


def redacted(value: Any) -> Any:
    return Redactor().redact(value)


def test_planted_secrets_of_every_kind_are_found_in_every_position_of_a_line() -> None:
    draw, missed = random.Random(20260317), Counter[str]()  # noqa: S311  # seeded, no secret is made of it
    for kind in KINDS:
        for number in range(PLANTS_OF_A_KIND):
            value, text, name = plant(draw, kind)
            line = POSITIONS[number % len(POSITIONS)](text, name)
            missed[kind] += not is_gone(value, redacted(line))
    recall = {kind: 1 - missed[kind] / PLANTS_OF_A_KIND for kind in KINDS}
    of_keys = sum(recall[kind] for kind in KINDS_OF_KEYS) / len(KINDS_OF_KEYS)
    print(
        f"recall: keys {of_keys:.4f}, {', '.join(f'{kind} {recall[kind]:.3f}' for kind in KINDS if recall[kind] < 1)}"
    )
    assert of_keys >= 0.98
    assert all(recall[kind] >= 0.95 for kind in KINDS)
    assert all(recall[kind] >= 0.95 for kind in PERSONAL)


@pytest.mark.skipif(not TAU_BENCH.exists(), reason="tau-bench's published runs are not on this machine")
def test_what_is_found_in_real_conversations_is_an_address_and_nothing_else() -> None:
    runs = orjson.loads(TAU_BENCH.read_bytes())
    found: Counter[str] = Counter()
    values: set[str] = set()
    for run in runs:
        redactor = Redactor()
        for message in run["traj"]:
            redactor.redact(message)
        found.update(redactor.counts)
        values.update(redactor.replaced)
    assert sum(len(run["traj"]) for run in runs) == 5308
    assert found == {"email": 127}
    assert {value.split("@")[1] for value in values} == {"example.com", "gmail.com"}


@pytest.mark.skipif(not TAU_BENCH.exists(), reason="tau-bench's published runs are not on this machine")
def test_the_cost_of_redaction_is_told_as_a_ratio_to_parsing() -> None:
    raw = TAU_BENCH.read_bytes()
    start = time.process_time()
    runs = orjson.loads(raw)
    parsed = time.process_time()
    for run in runs:
        redactor = Redactor()
        for message in run["traj"]:
            redactor.redact(message)
    spent = time.process_time() - parsed
    print(f"redaction: {spent / len(raw) * 1e9:.0f} ms per MB of tau-bench, {spent / (parsed - start):.0f} x orjson")
    assert spent > 0


@pytest.mark.parametrize(
    "text",
    [
        "Order 4111111111111112 was placed on 2024-05-20 10:30:00",
        "Flights HAT136 and HAT039 on 2024-05-20, 2024-05-21 and 01/02/2024 10:30",
        "credit_card_4421486, certificate_7504069, ending in 7447",
        "It cost $1,234,567.89 and then 12,345,678.90 EUR, or 100.000.000 in all",
        "trace 20240515150000123, stamp 1768471200000000000, id 1768471200123456",
        "0123456789abcdef0123456789abcdef and 3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "a basic economy ticket; the bearer of responsibilities; basic understanding",
        "max_tokens: 4096, total_tokens=1234, token usage is reported below, key: value",
        "password: please choose one, password is required, secret: to be announced",
        "import numpy@1.26.4, icon@2x.png, @decorator, git@github.com:someone/project.git",
        "https://example.org:8080/path?x=1#top and ssh://git@example.org/project",
        "ask-me-anything, risk-averse-long-term-investors-2024-outlook, sk-learn, sk-SK",
        "claude-3-5-sonnet@20240620 and call_oIHazX6yQrB8hUwl4cRilFKj",
        "3.14159265358979323846 and 0.4111111111111111",
    ],
)
def test_numbers_words_and_identifiers_of_everyday_logs_are_left_alone(text: str) -> None:
    assert redacted({"content": text, "inner": json.dumps({"said": text})}) == {
        "content": text,
        "inner": json.dumps({"said": text}),
    }


def test_the_same_value_has_one_placeholder_and_another_value_another() -> None:
    line = {"a": "ann@example.org", "b": ["to Ann@Example.org", "bob@example.org"], "ann@example.org": 1}
    assert redacted(line) == {"a": "<EMAIL_1>", "b": ["to <EMAIL_1>", "<EMAIL_2>"], "<EMAIL_1>": 1}


def test_a_placeholder_that_a_log_holds_already_is_not_given_to_another_value() -> None:
    redactor = Redactor()
    line = {"a": "<EMAIL_1> wrote to bob@example.org"}
    redactor.reserve(json.dumps(line))
    assert redactor.redact(line) == {"a": "<EMAIL_1> wrote to <EMAIL_2>"}


def test_two_spellings_of_an_address_as_keys_keep_both_fields() -> None:
    assert list(redacted({"ann@example.org": 1, "Ann@example.org": 2}).values()) == [1, 2]


def test_arguments_given_as_a_json_string_stay_json() -> None:
    arguments = json.dumps({"card": 4111111111111111, "to": "ann@example.org", "amount": 12.5, "n": None})
    assert json.loads(redacted({"arguments": arguments})["arguments"]) == {
        "card": "<CARD_1>",
        "to": "<EMAIL_1>",
        "amount": 12.5,
        "n": None,
    }


def test_numbers_are_left_alone_unless_they_are_card_numbers() -> None:
    line = {"card": 4111111111111111, "almost": 4111111111111112, "stamp": 1768471200000, "ratio": 0.5, "is_it": True}
    assert redacted(line) == {**line, "card": "<CARD_1>"}


def test_a_password_told_once_is_gone_wherever_it_is_said_again() -> None:
    line = {
        "said": "the password is Orbit*333kitchen",
        "then": ["Orbit*333kitchen did not work"],
        "Orbit*333kitchen": 1,
    }
    assert redacted(line) == {
        "said": "the password is <SECRET_1>",
        "then": ["<SECRET_1> did not work"],
        "<SECRET_1>": 1,
    }


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.sampled_from(
        [
            "ann@example.org",
            "password: Orbit*333",
            KEY,
            "+1 415 555 0123",
            "4111 1111 1111 1111",
            "<EMAIL_1>",
            "\\u0040",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["password", "phone", "x", "ann@example.org", "token"]) | st.text(max_size=5),
            inner,
            max_size=4,
        )
        | inner.map(lambda value: json.dumps(value, ensure_ascii=False))
    ),
    max_leaves=8,
)


@given(JSON)
def test_to_redact_again_changes_nothing(value: Any) -> None:
    once = redacted({"value": value})
    assert redacted(once) == once


@given(JSON)
def test_json_inside_strings_is_json_afterwards_and_keeps_its_shape(value: Any) -> None:
    inner = json.dumps({"value": value}, ensure_ascii=False)
    told = json.loads(redacted({"arguments": inner})["arguments"])
    assert list(told) == ["value"]
    assert type(told["value"]) is type(value) or told["value"] == "<CARD_1>"


@given(st.text(st.sampled_from("ab@.:-+_ 0149/=<>\"'\\nsk{}[]"), max_size=60))
def test_to_redact_hostile_text_again_changes_nothing(text: str) -> None:
    once = Redactor().redact_text(text)
    assert Redactor().redact_text(once) == once


@pytest.mark.parametrize(
    "seed", ["sk-", "eyJ-", "a@b.", "-----BEGIN A-----", "bearer ", "1 ", "password=", "://a:", "AB12"]
)
def test_hostile_text_of_two_hundred_thousand_characters_is_redacted_for_good(seed: str) -> None:
    once = Redactor().redact_text(seed * (200_000 // len(seed)))
    assert Redactor().redact_text(once) == once


def test_no_depth_of_nesting_hides_a_secret_or_ends_the_week() -> None:
    value: Any = "ann@example.org"
    for _ in range(5):
        value = json.dumps("[" * 40 + json.dumps(value) + "]" * 40)
    for place in range(235):
        value = [value] if place % 2 else {"in": value}
    once = redacted(value)
    assert "ann@" not in orjson.dumps(once).decode()
    assert redacted(once) == once


def trial(*contents: str, user_id: str | None = None) -> Trajectory:
    events = [
        event("message", after(place), content=text, role="system" if place == 0 else "user", user_id=user_id)
        for place, text in enumerate(contents)
    ]
    return Trajectory(events)


def test_a_task_is_the_same_task_whatever_was_said_before_it() -> None:
    quiet, found = redact_trajectory(trial("Be kind.", "Write to ann@example.org"), RULES)
    told, _ = redact_trajectory(trial("You serve bob@example.org.", "Write to eve@example.org"), RULES)
    assert quiet.task_text == told.task_text == "Write to <EMAIL_1>"
    assert quiet.task_key == told.task_key
    assert found == {"email": 1}


def test_identities_are_made_from_what_is_stored() -> None:
    ann, eve = (
        trial("Be kind.", f"Write to {name}@example.org", user_id=f"{name}@example.org") for name in ("ann", "eve")
    )
    first, second = (redact_trajectory(one, RULES)[0] for one in (ann, eve))
    assert ann.trajectory_id != eve.trajectory_id
    assert first.trajectory_id == second.trajectory_id
    assert first.first_id("user_id") == "<EMAIL_1>"


def test_a_clean_trajectory_is_returned_as_it_is() -> None:
    clean = trial("Be kind.", "Where is my parcel?", user_id="u-17")
    assert redact_trajectory(clean, RULES) == (clean, Counter())


def test_a_quarantined_line_and_the_reason_that_quotes_it_hold_no_part_of_a_secret() -> None:
    raw = json.dumps({"type": KEY, "who": "ann@example.org"})
    reason = f"unknown event type {KEY!r}"[:50]
    text, told, found = redact_rejected(Rejected(1, NOON.astimezone(UTC), reason, raw.encode()), RULES)
    assert json.loads(text) == {"type": "<ANTHROPIC_KEY_1>", "who": "<EMAIL_1>"}
    assert told == "unknown event type '<ANTHROPIC_KEY_1>"
    assert found == {"anthropic_key": 1, "email": 1}


def test_a_line_that_is_cut_off_or_spelled_in_escapes_is_redacted_as_text() -> None:
    raw = rb'{"a":"ann\u0040example.org\n4111111111111111","password":"Orbit*333'
    text, _, found = redact_rejected(Rejected(1, NOON, "cut off", raw), RULES)
    assert found == {"email": 1, "card": 1, "assignment": 1}
    assert "ann" not in text
    assert "333" not in text


def test_the_words_of_an_error_hold_no_secret() -> None:
    error = redact_error(BadInput("file", f"{KEY} cannot be read", "ask ann@example.org"))
    assert str(error) == "file: <ANTHROPIC_KEY_1> cannot be read. Fix: ask <EMAIL_1>"
    assert type(error) is BadInput


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_can_be_switched_off_by_its_name(rule: Any) -> None:
    rules = RedactionSettings(off=(rule.name,)).rules
    assert set(RULES) - set(rules) == {rule}


def test_what_is_switched_off_is_left_alone() -> None:
    rules = RedactionSettings(off=("email",)).rules
    assert Redactor(rules).redact({"a": "ann@example.org", "card": 4111111111111111}) == {
        "a": "ann@example.org",
        "card": "<CARD_1>",
    }
    assert "redaction" in ROOM_SECTIONS


def test_a_rule_that_there_is_not_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(BadSettings, match="did you mean 'phone'"):
        RedactionSettings(off=("phones",))


def test_the_page_of_rules_lists_every_rule_and_no_other() -> None:
    page = (ROOT / "docs" / "redaction.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    told = [(row[0].strip("|` "), row[1].strip("`"), row[2].strip("| ") == "yes") for row in rows]
    assert told == [(rule.name, f"<{rule.label}_1>", rule.is_certain) for rule in RULES]
