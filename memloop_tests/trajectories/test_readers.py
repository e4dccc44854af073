"""The conformance suite of log readers: what every format must do, whatever it looks like. A new format joins by one entry in SHAPES."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memloop_assets.errors import BadInput
from memloop_assets.trajectories.formats.catalogue import READERS, reader_for
from memloop_assets.trajectories.formats.reader import Event, Reader, Rejected, canonical_json
from memloop_assets.trajectories.sources import ReadOptions, check_file
from memloop_tests.trajectories.chat_samples import chat_call, claude_line, export, span
from memloop_tests.trajectories.samples import FACTS, NOON, WEEK, as_lines, lines_of, logged, read_all

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Shape:
    """What a format looks like: how records are joined into a file, and valid records, each with the unknown field ``mood``."""

    records: tuple[Mapping[str, object], ...]
    join: Callable[[Sequence[bytes]], bytes]
    is_made_of_lines: bool


def _tau_run(task_id: object, reward: float, *roles: str) -> dict[str, object]:
    messages = [{"role": role, "content": f"said by {role}"} for role in roles]
    return {"task_id": task_id, "trial": 0, "reward": reward, "traj": messages, "mood": "fine"}


SHAPES = {
    "native": Shape(
        records=(
            logged("message", NOON, mood="fine", session_id="s1", task_id="t1"),
            logged("route", NOON, mood="fine", candidate_arms=["small-model", "large-model"], propensity=0.5),
            logged("tool_call", None, mood="fine"),
            logged("error", "2026-03-17T12:00:05", mood="fine", user_id=7),
            logged("decision", "no stamp at all", mood="fine"),
            logged("outcome", NOON + timedelta(days=9), mood="fine", decision_id="d1"),
        ),
        join=as_lines,
        is_made_of_lines=True,
    ),
    "tau-bench": Shape(
        records=(_tau_run(0, 1.0, "system", "user", "assistant"), _tau_run("1", 0.0, "user"), _tau_run(2, 0.5)),
        join=lambda records: b"[" + b",\n".join(records) + b"]",
        is_made_of_lines=False,
    ),
    "openai-chat": Shape(
        records=(
            chat_call("call-1", mood="fine", session_id="s1"),
            {"messages": [{"role": "user", "content": "Hello"}], "id": "talk-1", "mood": "fine"},
            chat_call("call-2", mood="fine", status="failure", response={}, error_str="RateLimitError"),
        ),
        join=as_lines,
        is_made_of_lines=True,
    ),
    "claude-code": Shape(
        records=(
            claude_line("user", "u1", "Where is it?", mood="fine"),
            claude_line("assistant", "u2", [{"type": "text", "text": "Here."}], mood="fine"),
            {"type": "summary", "summary": "A parcel", "leafUuid": "u2", "mood": "fine"},
        ),
        join=as_lines,
        is_made_of_lines=True,
    ),
    "otlp": Shape(
        records=(
            {**export(span("a1", {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"})), "mood": "fine"},
            {**export(span("a2", {"gen_ai.tool.name": "track"})), "mood": "fine"},
        ),
        join=as_lines,
        is_made_of_lines=True,
    ),
}

each_format = pytest.mark.parametrize("name", sorted(READERS))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def written(record: object) -> bytes:
    return json.dumps(record).encode()


def sample(name: str) -> bytes:
    return SHAPES[name].join([written(record) for record in SHAPES[name].records])


def is_refused_whole(reader: Reader, content: bytes) -> bool:
    """Tell whether the file is none of this format at all, which only a format without lines may say."""
    try:
        lines_of(reader, content)
    except BadInput:
        assert not SHAPES[reader.name].is_made_of_lines
        return True
    return False


def check_items(reader: Reader, content: bytes) -> list[list[Event] | Rejected]:
    """Return what a file says after checking that every line became events or one rejection that keeps it whole."""
    lines, found = lines_of(reader, content), read_all(reader, content)
    assert len(found) == len(lines)
    for line, said in zip(lines, found, strict=True):
        if isinstance(said, Rejected):
            assert (said.line_number, said.raw, said.source_id) == (line.number, line.raw, FACTS.source_id)
            assert said.reason
            assert said.at.tzinfo is UTC
            continue
        assert said
        assert [event.ordinal for event in said] == list(range(len(said)))
        for event in said:
            assert (event.line_number, event.source_id, event.at.tzinfo) == (line.number, FACTS.source_id, UTC)
            assert all(value is None or isinstance(value, str) for value in (event.session_id, event.task_id))
            canonical_json([[[[event.payload, event.extra]]]])
    return found


def test_every_reader_of_the_catalogue_takes_part() -> None:
    assert set(SHAPES) == set(READERS)
    assert all(reader_for(name).name == name for name in READERS)


def test_a_format_that_no_reader_has_is_refused_with_those_that_exist() -> None:
    with pytest.raises(BadInput, match="native, tau-bench"):
        reader_for("yaml")


@each_format
def test_valid_records_become_events_with_their_unknown_fields_kept(name: str) -> None:
    found = check_items(READERS[name], sample(name))
    assert [said[0].line_number for said in found if isinstance(said, list)] == list(range(1, len(found) + 1))
    assert len(found) == len(SHAPES[name].records)
    for said in found:
        assert isinstance(said, list)
        assert any(event.extra.get("mood") == "fine" for event in said)


@each_format
@given(data=st.data())
def test_any_json_value_is_read_or_rejected_and_none_is_lost(name: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(json_values, max_size=4))
    check = check_items(READERS[name], SHAPES[name].join([written(value) for value in values]))
    assert len(check) == len(values)


@each_format
@given(data=st.data())
def test_a_valid_record_with_one_field_changed_is_read_or_rejected(name: str, data: st.DataObject) -> None:
    record = dict(data.draw(st.sampled_from(SHAPES[name].records)))
    field = data.draw(st.sampled_from([*record, "confidence", "session_id", "timestamp"]))
    record[field] = data.draw(json_values)
    if data.draw(st.booleans()):
        del record[field]
    neighbours = [written(SHAPES[name].records[0])] * 2
    found = check_items(READERS[name], SHAPES[name].join([neighbours[0], written(record), neighbours[1]]))
    assert [isinstance(said, list) for said in found][::2] == [True, True]
    assert len(found) == 3


@each_format
@given(content=st.binary(max_size=80) | st.lists(st.binary(max_size=12), max_size=6).map(b"\n".join))
@example(content=b"")
@example(content=b"\n \r\n\t\n")
@example(content=BOM)
@example(content=BOM + b"\n{}")
@example(content=b"{}\n" + BOM + b"{}")
@example(content=b"\x00" * 40)
@example(content=b"\xff\xfe{\x00}\x00\n\x00")
@example(content=b"[1,2")
def test_any_bytes_are_read_or_rejected_and_no_line_is_lost(name: str, content: bytes) -> None:
    reader = READERS[name]
    if is_refused_whole(reader, content):
        return
    found = check_items(reader, content)
    if SHAPES[name].is_made_of_lines:
        raw = [line.removeprefix(BOM).strip(b" \t\r\n") for line in content.split(b"\n")]
        assert [said.line_number if isinstance(said, Rejected) else said[0].line_number for said in found] == [
            number for number, line in enumerate(raw, start=1) if line
        ]


@each_format
@pytest.mark.parametrize("depth", [100, 238, 239, 240, 254, 400, 1000, 1023, 5000])
def test_no_depth_of_nesting_breaks_a_reader_or_what_comes_after_it(name: str, depth: int) -> None:
    first, deep = written(SHAPES[name].records[0]), written({**SHAPES[name].records[0], "mood": "DEEP"})
    deep = deep.replace(b'"DEEP"', b"[" * depth + b"]" * depth)
    content = SHAPES[name].join([first, deep, first])
    if is_refused_whole(READERS[name], content):
        assert depth > 238
        return
    found = check_items(READERS[name], content)
    assert [isinstance(said, list) for said in found] == [True, depth < 240, True]


@each_format
@given(data=st.data())
def test_reading_from_the_middle_says_what_reading_the_whole_says_there(name: str, data: st.DataObject) -> None:
    reader, shape = READERS[name], SHAPES[name]
    bad = [b"{}", b"7"] + ([b"", b"\xff\r", b"{"] if shape.is_made_of_lines else [])
    drawn = st.lists(st.sampled_from([*bad, *map(written, shape.records)]), min_size=1, max_size=8)
    content = data.draw(st.sampled_from([b"", BOM])) + shape.join(data.draw(drawn))
    whole = lines_of(reader, content)
    if not whole:
        return
    first = data.draw(st.integers(0, len(whole) - 1))
    last = data.draw(st.integers(first, len(whole) - 1))
    wanted = whole[first : last + 1]
    part = lines_of(reader, content, wanted[0].start_offset, wanted[0].number, wanted[-1].end_offset)
    if shape.is_made_of_lines:
        assert part == wanted
    else:
        assert part[first : last + 1] == wanted
    before = FACTS.fallback_at
    assert [reader.read_line(line, FACTS, before) for line in wanted] == [
        reader.read_line(line, FACTS, before) for line in part if line in wanted
    ]


@each_format
def test_what_was_written_after_the_end_that_is_asked_for_is_not_looked_at(name: str) -> None:
    reader, content = READERS[name], sample(name).rstrip(b"\n")[: -3 if SHAPES[name].is_made_of_lines else None]
    grown = lines_of(reader, content + b'{"half a line', end=len(content))
    assert grown == lines_of(reader, content)
    assert max(line.end_offset for line in grown) <= len(content)


@each_format
@given(data=st.data())
def test_a_file_cut_off_anywhere_keeps_every_record_that_is_whole(name: str, data: st.DataObject) -> None:
    reader, content = READERS[name], sample(name)
    cut = content[: data.draw(st.integers(0, len(content)))]
    if is_refused_whole(reader, cut):
        return
    found, whole = check_items(reader, cut), read_all(reader, content)
    complete = cut.count(b"\n") if SHAPES[name].is_made_of_lines else len(whole)
    assert found[:complete] == whole[:complete]
    assert len(found) <= complete + 1


@each_format
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(name: str) -> None:
    reader, content = READERS[name], sample(name)
    plain = read_all(reader, content)
    assert read_all(reader, BOM + content) == plain
    assert read_all(reader, content.replace(b"\n", b"\r\n")) == plain
    assert read_all(reader, BOM + content.replace(b"\n", b"\r\n")) == plain


@each_format
def test_reading_twice_gives_the_same(name: str) -> None:
    assert read_all(READERS[name], sample(name)) == read_all(READERS[name], sample(name))


@each_format
def test_a_file_of_garbage_is_refused_with_a_fix_or_rejected_line_by_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "garbage.jsonl"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00 not a log\n\n%PDF-1.7\n")
    options = ReadOptions(format=name, arm="a", start_week=WEEK)
    if not SHAPES[name].is_made_of_lines:
        with pytest.raises(BadInput, match="Fix: "):
            check_file(path, options)
        return
    report = check_file(path, options)
    assert report.line_count == report.rejected_count == len(report.rejected) == 4


@each_format
def test_a_folder_in_the_place_of_a_file_is_an_error_of_the_file_system_not_a_crash(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "session_2026-03-17.jsonl"
    folder.mkdir()
    with pytest.raises(IsADirectoryError):
        check_file(folder, ReadOptions(format=name, arm="a", start_week=WEEK))
