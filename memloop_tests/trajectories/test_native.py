"""The native log: every trap that a real file has held, line by line."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memloop_assets.trajectories.formats.native import NativeReader
from memloop_assets.trajectories.formats.reader import (
    Event,
    Rejected,
    canonical_json,
    date_in_name,
    parse_object,
    read_stamp,
)
from memloop_tests.trajectories.samples import FACTS, NOON, as_lines, logged, read_all

READER = NativeReader()
BERLIN = ZoneInfo("Europe/Berlin")
HALF_MISSING = b'{"type":"message","role":"user","con'


def read(record: object, zone: str = "UTC") -> Event | Rejected:
    """Return what one line says."""
    (said,) = read_all(READER, as_lines([record]), replace(FACTS, timezone=ZoneInfo(zone)))
    return said if isinstance(said, Rejected) else said[0]


def event_of(record: object, zone: str = "UTC") -> Event:
    """Return the event of one line that can be read."""
    said = read(record, zone)
    assert isinstance(said, Event), said
    return said


def reason_of(record: object) -> str:
    """Return why one line cannot be read; it is kept whole."""
    said = read(record)
    assert isinstance(said, Rejected)
    assert said.raw == (record if isinstance(record, bytes) else json.dumps(record).encode())
    return said.reason


@pytest.mark.parametrize(
    ("record", "payload", "extra"),
    [
        (
            {"type": "message", "role": "timmy", "content": "Hi", "confidence": 0.9, "mood": 1},
            {"role": "timmy", "content": "Hi", "confidence": 0.9},
            {"mood": 1},
        ),
        (
            {"type": "tool_call", "tool": "search", "args": {"q": "x"}, "result": [1]},
            {"tool": "search", "args": {"q": "x"}, "result": [1]},
            {},
        ),
        ({"type": "tool_call", "tool": "search"}, {"tool": "search", "args": {}, "result": None}, {}),
        ({"type": "error", "error": "boom", "context": {"k": 1}}, {"error": "boom", "context": {"k": 1}}, {}),
        ({"type": "decision", "decision": "wait", "rationale": "late"}, {"decision": "wait", "rationale": "late"}, {}),
        (
            {"type": "route", "arm": "a", "candidate_arms": ["a", "b"], "propensity": 1, "domain": "billing", "via": 2},
            {
                "arm": "a",
                "candidate_arms": ["a", "b"],
                "propensity": 1.0,
                "policy_version": None,
                "domain": "billing",
            },
            {"via": 2},
        ),
        (
            {"type": "outcome", "success": True, "reward": 1, "label_source": "user", "cost_usd": 0, "input_tokens": 5},
            {
                "success": True,
                "reward": 1.0,
                "label_source": "user",
                "cost_usd": 0.0,
                "latency_ms": None,
                "input_tokens": 5,
                "output_tokens": None,
            },
            {},
        ),
    ],
)
def test_every_kind_of_event_gives_its_known_fields_and_keeps_the_others(
    record: dict[str, object], payload: dict[str, object], extra: dict[str, object]
) -> None:
    said = event_of(record)
    assert (said.kind, said.payload, said.extra) == (record["type"], payload, extra)
    numbers = [said.payload.get(name) for name in ("propensity", "reward", "cost_usd", "confidence")]
    assert all(number is None or isinstance(number, float) for number in numbers)


@pytest.mark.parametrize("role", ["timmy", "Assistant", "bot-7", "助手"])
def test_any_assistant_name_will_do(role: str) -> None:
    assert event_of(logged("message", role=role)).payload["role"] == role


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\xff\xfe{}", "invalid UTF-8 at byte 0"),
        (b'{"type":"message","role":"user","content":"caf\xe9"}', "invalid UTF-8 at byte 46"),
        (b'{"type":"outcome","reward":NaN}', "NaN or Infinity, which JSON does not have"),
        (b'{"type":"outcome","reward": -Infinity}', "NaN or Infinity, which JSON does not have"),
        (b'{"type":"outcome",\x00"reward":1}', "a NUL byte"),
        (b"\x00" * 512, "a NUL byte"),
        (b'{"type":"error","error":"a"}{"type":"error","error":"b"}', "two objects on one line"),
        (b'{"type":"error","error":"a"} {"type":"error","error":"b"}', "two objects on one line"),
        (HALF_MISSING, "cut off: the object never ends"),
        (b"[1, 2]", "a JSON list, not an object"),
        (b'"text"', "a JSON str, not an object"),
        (b"null", "a JSON NoneType, not an object"),
        (b"7", "a JSON int, not an object"),
        (b"{}", "no event type"),
        (b'{"type":null}', "no event type"),
        (b'{"type":"thought"}', "unknown event type 'thought'"),
        (b'{"type":["message"]}', "unknown event type ['message']"),
    ],
)
def test_a_line_that_is_no_event_is_rejected_whole_with_its_reason(line: bytes, reason: str) -> None:
    assert reason_of(line) == reason


@pytest.mark.parametrize("line", [b"not json", b'{"type":"outcome","cost_usd":1e999}', b"{'type': 'outcome'}", b"{]}"])
def test_any_other_line_that_is_no_json_says_so_in_the_words_of_the_parser(line: bytes) -> None:
    assert reason_of(line).startswith("not JSON (")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"type": "message", "content": "Hi"}, "a message without a role"),
        ({"type": "message", "role": " ", "content": "Hi"}, "a message without a role"),
        ({"type": "message", "role": 7, "content": "Hi"}, "a message without a role"),
        ({"type": "message", "role": "user"}, "a message without content"),
        ({"type": "tool_call", "args": {}}, "a tool call without a tool"),
        ({"type": "error"}, "an error event without an error"),
        ({"type": "decision"}, "a decision event without a decision"),
        ({"type": "route"}, "a route event without an arm"),
        ({"type": "route", "arm": ""}, "a route event without an arm"),
        ({"type": "route", "arm": "a", "candidate_arms": "a"}, "candidate_arms is not a list of arm names"),
        ({"type": "route", "arm": "a", "candidate_arms": ["a", 1]}, "candidate_arms is not a list of arm names"),
        ({"type": "route", "arm": "a", "candidate_arms": ["b"]}, "the arm 'a' is not among its candidate_arms"),
        ({"type": "route", "arm": "a", "candidate_arms": []}, "the arm 'a' is not among its candidate_arms"),
        ({"type": "route", "arm": "a", "propensity": 0}, "propensity 0 is not in (0, 1]"),
        ({"type": "route", "arm": "a", "propensity": 1.01}, "propensity 1.01 is not in (0, 1]"),
        ({"type": "route", "arm": "a", "propensity": True}, "propensity True is not in (0, 1]"),
        ({"type": "route", "arm": "a", "propensity": "0.5"}, "propensity '0.5' is not in (0, 1]"),
        ({"type": "outcome", "success": 1}, "success 1 is not true or false"),
        ({"type": "outcome", "success": "yes"}, "success 'yes' is not true or false"),
        ({"type": "outcome", "reward": -0.1}, "reward -0.1 is not in [0, 1]"),
        ({"type": "outcome", "reward": 5}, "reward 5 is not in [0, 1]"),
        ({"type": "outcome", "reward": True}, "reward True is not in [0, 1]"),
        ({"type": "outcome", "reward": 10**40}, f"reward '{10**40}' is not in [0, 1]"),
        ({"type": "outcome", "cost_usd": -1}, "cost_usd -1 is not a number of zero or more"),
        ({"type": "outcome", "cost_usd": False}, "cost_usd False is not a number of zero or more"),
        ({"type": "outcome", "latency_ms": "fast"}, "latency_ms 'fast' is not a number of zero or more"),
        (
            {"type": "outcome", "label_source": "hearsay"},
            "label_source 'hearsay' is not one of user, checker, judge, none",
        ),
        (
            {"type": "outcome", "label_source": ["user"]},
            "label_source ['user'] is not one of user, checker, judge, none",
        ),
    ],
)
def test_a_field_that_teaches_and_is_wrong_rejects_its_line(record: dict[str, object], reason: str) -> None:
    assert reason_of(record) == reason


@pytest.mark.parametrize("confidence", [True, "high", -0.1, 1.5, None, [0.9]])
def test_a_confidence_that_is_none_is_an_unknown_field_like_any_other(confidence: object) -> None:
    said = event_of({"type": "message", "role": "timmy", "content": "Hi", "confidence": confidence})
    assert "confidence" not in said.payload
    assert said.extra == {"confidence": confidence}


@pytest.mark.parametrize("tokens", [True, -1, 2.5, "many"])
def test_a_token_count_that_is_none_is_kept_beside_and_priced_by_nobody(tokens: object) -> None:
    said = event_of({"type": "outcome", "input_tokens": tokens})
    assert (said.payload["input_tokens"], said.extra) == (None, {"input_tokens": tokens})


def test_of_a_key_that_is_written_twice_the_last_counts() -> None:
    assert event_of(b'{"type":"outcome","reward":0,"reward":1}').payload["reward"] == 1.0


def test_a_line_nested_too_deeply_to_be_written_again_is_rejected() -> None:
    deep = b'{"type":"error","error":' + b"[" * 300 + b"]" * 300 + b"}"
    assert reason_of(deep) == "nested deeper than 240 levels"
    assert reason_of(deep.replace(b'"error","error"', b'"outcome","success"')) == "nested deeper than 240 levels"
    wide = {"type": "error", "error": [{} for _ in range(1000)]}
    assert event_of(wide).payload["error"] == wide["error"]


def test_a_valid_line_of_five_megabytes_is_read_and_an_invalid_one_rejected_whole() -> None:
    long = "x" * 5_000_000
    assert event_of(logged("message", content=long)).payload["content"] == long
    cut = json.dumps(logged("message", content=long)).encode()[:-2]
    assert reason_of(cut) == "cut off: the object never ends"
    found = read_all(READER, as_lines([logged("error"), cut, logged("error")]))
    assert [isinstance(said, Rejected) for said in found] == [False, True, False]


def test_a_half_written_last_line_is_rejected_and_the_lines_before_it_are_read() -> None:
    found = read_all(READER, as_lines([logged("message")]) + HALF_MISSING)
    assert isinstance(found[0], list)
    assert isinstance(found[1], Rejected)
    assert (found[1].line_number, found[1].raw) == (2, HALF_MISSING)


def test_ids_that_are_numbers_are_text_and_long_ones_lose_no_digit() -> None:
    long = 2**127 + 1
    said = event_of(logged("message", session_id=7, task_id=long, user_id=2**64 - 1, decision_id=-(2**63) - 1))
    assert (said.session_id, said.task_id) == ("7", str(long))
    assert (said.user_id, said.decision_id) == (str(2**64 - 1), str(-(2**63) - 1))
    assert event_of(logged("message", task_id=long + 1)).task_id != said.task_id


@given(st.integers())
def test_a_whole_number_is_kept_exactly_as_a_number_or_as_its_digits(number: int) -> None:
    said = event_of({"type": "error", "error": number})
    assert str(said.payload["error"]) == str(number)
    assert isinstance(said.payload["error"], int) == (-(2**63) <= number < 2**64)
    assert canonical_json(said.payload)


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_an_empty_id_is_none(nothing: object) -> None:
    said = event_of({**logged("message"), "session_id": nothing, "task_id": nothing})
    assert (said.session_id, said.task_id, said.extra) == (None, None, {})


@pytest.mark.parametrize("value", [True, ["s"], {"id": 1}])
def test_an_id_that_is_neither_text_nor_number_stays_among_the_unknown_fields(value: object) -> None:
    said = event_of({**logged("message"), "session_id": value})
    assert (said.session_id, said.extra) == (None, {"session_id": value})


@pytest.mark.parametrize(
    ("stamp", "zone", "expected"),
    [
        ("2026-03-17T12:00:00+00:00", "Europe/Berlin", "2026-03-17T12:00:00"),
        ("2026-03-17T12:00:00Z", "Europe/Berlin", "2026-03-17T12:00:00"),
        ("2026-03-17T12:00:00.123456789Z", "UTC", "2026-03-17T12:00:00.123456"),
        ("2026-03-17T12:00:00-05:30", "UTC", "2026-03-17T17:30:00"),
        (" 2026-03-17 12:00 ", "Europe/Berlin", "2026-03-17T11:00:00"),
        ("2026-07-17T12:00:00", "Europe/Berlin", "2026-07-17T10:00:00"),
        ("2026-03-29T01:59:59", "Europe/Berlin", "2026-03-29T00:59:59"),
        ("2026-03-29T02:30:00", "Europe/Berlin", "2026-03-29T01:30:00"),  # skipped: read as before the change
        ("2026-03-29T03:00:00", "Europe/Berlin", "2026-03-29T01:00:00"),
        ("2026-10-25T02:30:00", "Europe/Berlin", "2026-10-25T00:30:00"),  # twice: the first of the two
        ("2026-10-25T03:00:00", "Europe/Berlin", "2026-10-25T02:00:00"),
        ("2026-03-16T00:30:00", "Europe/Berlin", "2026-03-15T23:30:00"),  # Monday there, still Sunday in UTC
        (1773748800, "Europe/Berlin", "2026-03-17T12:00:00"),
        (1773748800.5, "UTC", "2026-03-17T12:00:00.500000"),
        (1773748800500, "UTC", "2026-03-17T12:00:00.500000"),
    ],
)
def test_stamps_are_read_as_utc(stamp: object, zone: str, expected: str) -> None:
    assert event_of({**logged("message", None), "timestamp": stamp}, zone).at == datetime.fromisoformat(expected + "Z")
    assert "timestamp" not in event_of({**logged("message", None), "timestamp": stamp}, zone).extra


@pytest.mark.parametrize(
    "stamp",
    [
        *("yesterday", "", "2026-13-01", "12:00", True, [1], {"s": 1}, 1e300, -5, 0, 12.5, 1773748800500000, 10**25),
        *("0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59-05:00", "2200-01-01T00:00:00Z"),
    ],
)
def test_a_stamp_that_is_none_gives_way_to_the_line_before_then_to_the_file_and_is_kept(stamp: object) -> None:
    odd = {**logged("message", None), "timestamp": stamp}
    first, _, third, fourth = read_all(READER, as_lines([odd, logged("message"), odd, logged("message", None)]))
    assert isinstance(first, list)
    assert isinstance(third, list)
    assert isinstance(fourth, list)
    assert first[0].at == FACTS.fallback_at
    assert (third[0].at, fourth[0].at) == (NOON, NOON)
    kept = str(stamp) if stamp == 10**25 else stamp
    assert first[0].extra == third[0].extra == {"timestamp": kept}
    assert fourth[0].extra == {}


def test_a_rejected_line_lies_at_its_own_stamp_where_it_has_one_else_at_that_of_the_line_before() -> None:
    later = "2026-03-20T00:00:00+00:00"
    found = read_all(
        READER, as_lines([logged("error"), b"not json", {"type": "odd", "timestamp": later}, logged("error", None)])
    )
    stamps = [said.at if isinstance(said, Rejected) else said[0].at for said in found]
    assert stamps == [NOON, NOON, datetime.fromisoformat(later), datetime.fromisoformat(later)]


@given(st.datetimes(datetime(1990, 1, 1), datetime(2210, 1, 1)))  # noqa: DTZ001  # naive on purpose: so the log writes them
def test_any_naive_stamp_in_a_zone_is_aware_utc_within_its_years_or_none(moment: datetime) -> None:
    found = read_stamp(moment.isoformat(), BERLIN)
    assert found is None or found.tzinfo is UTC
    assert (found is not None) == (2000 <= moment.replace(tzinfo=BERLIN).astimezone(UTC).year <= 2199)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("session_2026-03-17.jsonl", "2026-03-17"),
        ("log20260317.jsonl", "2026-03-17"),
        ("a-2026-02-30-b-2026-03-17.jsonl", "2026-03-17"),
        ("session.jsonl", None),
        ("20260317120000.jsonl", None),
        ("00010101.jsonl", None),
        ("99991231.jsonl", None),
    ],
)
def test_the_date_in_a_file_name_is_read_where_the_calendar_has_it(name: str, expected: str | None) -> None:
    found = date_in_name(name)
    assert (found.isoformat() if found else None) == expected


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False)))
def test_canonical_json_does_not_depend_on_the_order_of_keys(fields: dict[str, object]) -> None:
    shuffled = dict(reversed(list(fields.items())))
    one, other = (parse_object(json.dumps(value).encode()) for value in (fields, shuffled))
    assert canonical_json(one) == canonical_json(other)


@pytest.mark.parametrize(
    ("record", "known", "extra"),
    [
        ({"type": "message", "role": "user", "content": "", "retrieved_context": "A page"}, "retrieved_context", {}),
        (
            {"type": "message", "role": "user", "content": "", "retrieved_context": [{"id": 1}, "B"]},
            "retrieved_context",
            {},
        ),
        ({"type": "message", "role": "user", "content": "", "retrieved_context": 7}, "", {"retrieved_context": 7}),
        ({"type": "message", "role": "user", "content": "", "retrieved_context": []}, "", {"retrieved_context": []}),
        ({"type": "route", "arm": "a", "difficulty": 1}, "difficulty", {}),
        ({"type": "route", "arm": "a", "difficulty": "hard"}, "", {"difficulty": "hard"}),
        ({"type": "outcome", "difficulty": 1.5}, "", {"difficulty": 1.5}),
        ({"type": "outcome", "risk_level": "high"}, "risk_level", {}),
        ({"type": "outcome", "risk_level": 3}, "", {"risk_level": 3}),
        ({"type": "route", "arm": "a", "domain_tags": ["law", "tax"]}, "domain_tags", {}),
        ({"type": "route", "arm": "a", "domain_tags": "law"}, "", {"domain_tags": "law"}),
        ({"type": "outcome", "context_correct": False}, "context_correct", {}),
    ],
)
def test_labels_are_read_where_they_are_sound_and_else_kept_as_they_are(
    record: dict[str, object], known: str, extra: dict[str, object]
) -> None:
    said = event_of(record)
    assert dict(said.extra) == extra
    labels = {"retrieved_context", "difficulty", "risk_level", "domain_tags", "context_correct"}
    assert {name for name in said.payload if name in labels} == ({known} if known else set())
    assert not known or said.payload[known] == record[known]


def test_a_context_that_is_neither_right_nor_wrong_is_not_guessed_at() -> None:
    assert reason_of({"type": "outcome", "context_correct": "no"}) == "context_correct 'no' is not true or false"
