"""The format told from a file's first lines, and what is said where they do not tell."""

import gzip
import json
from pathlib import Path

import pytest

from memloop_assets.cli import main
from memloop_assets.errors import BadInput
from memloop_assets.trajectories.formats.catalogue import READERS
from memloop_assets.trajectories.sniffing import sniff
from memloop_tests.trajectories.chat_samples import chat_call, claude_line, export, said, span
from memloop_tests.trajectories.samples import as_lines, landing_at, logged

CALL = span("a1", {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"})
RUN = {"task_id": 0, "reward": 1.0, "traj": [said("user", "Hello")]}
FILES: dict[str, list[bytes]] = {
    "native": [
        as_lines([logged("message"), logged("outcome")]),
        as_lines([b"{half a line", {"type": "odd"}, logged("route")]),
        b"",
        b"\n \r\n",
    ],
    "tau-bench": [json.dumps([RUN]).encode(), json.dumps([RUN], indent=1).encode()],
    "openai-chat": [
        as_lines([chat_call("c1")]),
        as_lines([{"messages": [said("user", "Hello")]}]),
        as_lines([{"request": {"messages": [said("user", "Hello")]}, "response": {}}]),
    ],
    "claude-code": [
        as_lines([claude_line("user", "u1", "Hello"), {"type": "file-history-snapshot", "messageId": "x"}]),
        as_lines([{"type": "summary", "summary": "A parcel", "leafUuid": "u9"}]),
    ],
    "otlp": [as_lines([export(CALL)]), json.dumps(export(CALL), indent=2).encode(), as_lines([{"resourceLogs": []}])],
}


def test_every_format_is_told_from_its_first_lines(tmp_path: Path) -> None:
    assert set(FILES) == set(READERS)
    path = tmp_path / "log.json"
    for name, contents in FILES.items():
        for content in contents:
            for mark in (b"", b"\xef\xbb\xbf"):
                path.write_bytes(mark + content)
                assert sniff(path) == name, content[:80]


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"not json\n", "no JSON object"),
        (b"[1, 2]", "a JSON array, but not of tau-bench's runs"),
        (as_lines([{"event": "click", "at": 1}]), "objects with at, event"),
        (as_lines([{"type": "click"}]), "objects with type 'click'"),
        (as_lines([{}]), "objects with no field"),
        (as_lines([logged("message"), chat_call("c1")]), "the lines look like native and openai-chat"),
    ],
)
def test_where_the_lines_do_not_tell_what_was_seen_is_said_and_every_format_named(
    content: bytes, seen: str, tmp_path: Path
) -> None:
    path = tmp_path / "log.json"
    path.write_bytes(content)
    with pytest.raises(BadInput) as refused:
        sniff(path)
    assert seen in str(refused.value)
    assert all(name in refused.value.fix for name in READERS)


def test_ingest_tells_the_format_of_each_file_of_a_folder_and_a_strange_one_keeps_no_other_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "agent.jsonl").write_bytes(as_lines([logged("message")]))
    (logs / "gateway.jsonl").write_bytes(as_lines([chat_call("c1")]))
    (logs / "spans.json").write_bytes(json.dumps(export(CALL), indent=2).encode())
    (logs / "clicks.json").write_bytes(as_lines([{"event": "click"}]))
    assert main(["--home", str(tmp_path / "home"), "ingest", str(logs)]) == 1
    told = capsys.readouterr()
    assert told.err.startswith("clicks.json: log format: the first lines show none")
    assert [line.split(":")[0] for line in told.out.splitlines() if ": new, " in line] == [
        "agent.jsonl",
        "gateway.jsonl",
        "spans.json",
    ]


def test_a_format_that_is_named_wins_over_what_the_lines_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gateway.jsonl"
    path.write_bytes(as_lines([chat_call("c1")]))
    assert main(["--home", str(tmp_path / "home"), "ingest", str(path), "--format", "native", "--check"]) == 0
    assert "no event type" in capsys.readouterr().out


def test_what_a_sniffed_format_does_not_log_must_be_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "runs.json"
    path.write_text(json.dumps([RUN]))
    assert main(["--home", str(tmp_path / "home"), "ingest", str(path)]) == 1
    assert "--arm" in capsys.readouterr().err


def test_a_compressed_log_shows_its_format_too(tmp_path: Path) -> None:
    path = tmp_path / "session_2026-03-17.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"messages": [{"role": "user", "content": "hello"}]}\n'))
    assert sniff(path) == "openai-chat"
    path.write_bytes(path.read_bytes()[:10])
    assert sniff(path) == "native"


def test_json_lines_that_show_nothing_are_read_as_native_so_that_they_are_quarantined(tmp_path: Path) -> None:
    path = tmp_path / "session_2026-03-17.jsonl"
    path.write_text("not json\n{}\n", encoding="utf-8")
    assert sniff(path) == "native"


def test_a_first_line_that_is_half_written_is_left_until_it_is_whole_and_read_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, whole = tmp_path / "gateway.jsonl", as_lines([chat_call("c1")])
    path.write_bytes(whole[:40])
    command = ["--home", str(tmp_path / "home"), "ingest", str(path)]
    assert main(command) == 1
    assert "its first line is not whole yet" in capsys.readouterr().err
    path.write_bytes(whole)
    assert main(command) == 0
    assert "gateway.jsonl: new, 1 lines" in capsys.readouterr().out
    landing = landing_at(tmp_path / "home" / "data")
    assert [source.format for week in landing.weeks() for source in landing.sources(week)] == ["openai-chat"]
