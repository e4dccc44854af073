"""Planted secrets through the loop: none is in any table, in Dagster's metadata, in what the command line prints or in an error."""

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from memloop_assets.cli import main
from memloop_assets.errors import BadInput
from memloop_assets.home import Home
from memloop_tests.scenario import (
    FIRST,
    WORLD,
    attempt,
    import_benchmark,
    open_at,
    run_weeks_through_dagster,
    write_settings,
)
from memloop_tests.trajectories.planted import KINDS, POSITIONS, plant

ASSETS = ("session_logs", "trajectories", "quarantined_lines", "trajectory_quality", "sft_examples", "router_samples")
OWNER = "ann.logger@example.org"


def lines_with_secrets(seed: int) -> tuple[list[str], list[str]]:
    """Return the lines of a log, each attempt with one plant in each role, and every planted value; some lines cannot be read."""
    draw = random.Random(seed)  # noqa: S311  # seeded, no secret is made of it
    lines, values = [], [OWNER]
    for number, kind in enumerate(KINDS * 2):
        at = FIRST.start + timedelta(minutes=10 * number)
        value, text, name = plant(draw, kind)
        said, more, more_name = plant(draw, kind)
        request = f"Field {name} holds it" if name else f"Number {number}: {text}"
        own = attempt(at, number, request)
        planted = POSITIONS[number % len(POSITIONS)](more, more_name)
        ids = {"session_id": own[0]["session_id"], "task_id": own[0]["task_id"], "user_id": OWNER}
        own.insert(2, {**planted, **ids, "timestamp": (at + timedelta(seconds=1)).isoformat()})
        lines += [json.dumps(line) for line in own]
        if name is None:
            lines.append(json.dumps({"type": text, "timestamp": at.isoformat()}))
            lines.append(json.dumps({"type": "message", "content": text, "timestamp": at.isoformat()}))
            values.append(value)
        values.append(said)
    return lines, values


def everything_stored(home: Home) -> str:
    """Return all that lies under ``data/tables`` as text: every row of every table, and every file beside them."""
    files = [path for path in sorted(home.places.tables.rglob("*")) if path.is_file() and path.suffix != ".parquet"]
    stored = [path.read_text(encoding="utf-8") for path in files]
    for name in ASSETS:
        stored += [repr(home.store.read(name, week).to_pylist()) for week in home.store.weeks(name)]
    return "\n".join(stored)


def everything_told(result: dg.ExecuteInProcessResult) -> str:
    """Return all that Dagster was told of a run: every event with its metadata."""
    return "\n".join(repr(event) for event in result.all_events)


def leaked(values: list[str], text: str) -> list[str]:
    """Return the planted values of which a line of more than eight characters stands in a text."""
    parts = {value: value.replace("\\n", "\n").split("\n") for value in values}
    return [value for value, lines in parts.items() if any(len(x) > 8 and x in text for x in lines if "-----" not in x)]


def test_no_planted_secret_is_stored_or_told_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "home"
    write_settings(folder)
    lines, values = lines_with_secrets(5)
    log = folder / "logs" / f"session_{OWNER}.jsonl"
    log.parent.mkdir()
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main(["--home", str(folder), "ingest", str(log)]) == 0
    printed = capsys.readouterr().out.replace(log.name, "")
    home = open_at(folder)
    import_benchmark(home, WORLD, 60)
    result = run_weeks_through_dagster(folder, FIRST, assets=["benchmark_suite", *ASSETS])
    assert result.success
    assert home.store.failures("trajectories") == {}
    stored = everything_stored(home)
    assert leaked(values, "\n".join(lines).encode().decode("unicode_escape")), "the plants are in the log"
    assert leaked(values, stored) == []
    assert leaked(values, everything_told(result)) == []
    assert leaked(values, printed) == []
    assert "<EMAIL_1>" in stored
    assert home.store.read("sft_examples", FIRST).num_rows
    assert home.store.read("router_samples", FIRST).num_rows == len(KINDS) * 2
    for name in ("trajectories", "quarantined_lines", "sft_examples", "router_samples"):
        verdicts = home.store.manifest(name, FIRST)["verdicts"]
        assert any(verdict["rule"] == "no secret" for verdict in verdicts)


def metadata_of(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    events = [
        event for event in result.all_events if event.is_step_materialization and event.asset_key == dg.AssetKey(name)
    ]
    return {key: value.value for event in events for key, value in event.materialization.metadata.items()}


def test_the_week_says_how_much_was_redacted_by_which_rule(tmp_path: Path) -> None:
    write_settings(tmp_path, '[redaction]\noff = ["phone"]')
    log = tmp_path / "logs" / "session_2026-01-05.jsonl"
    log.parent.mkdir()
    request = "Mail ann@example.org and bob@example.org, or call +1 415 555 0123"
    log.write_text(
        "".join(f"{json.dumps(line)}\n" for line in attempt(FIRST.start, 1, request)) + f'{{"{OWNER}"\n', "utf-8"
    )
    assert main(["--home", str(tmp_path), "ingest", str(log)]) == 0
    result = run_weeks_through_dagster(tmp_path, FIRST, assets=ASSETS[:3])
    told, quarantined = metadata_of(result, "trajectories"), metadata_of(result, "quarantined_lines")
    assert (told["redacted_count"], told["redacted"]) == (2, "- 2 x email")
    assert (quarantined["redacted_count"], quarantined["redacted"]) == (1, "- 1 x email")
    (row,) = open_at(tmp_path).store.read("trajectories", FIRST).to_pylist()
    assert row["task_text"] == "Mail <EMAIL_1> and <EMAIL_2>, or call +1 415 555 0123"


def test_a_week_that_fails_tells_why_without_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_settings(tmp_path)

    def refuse(*_: object) -> None:
        raise BadInput("log", f"{OWNER} wrote nonsense", "ask them")

    monkeypatch.setattr("memloop_assets.trajectories.assets.quarantine_week", refuse)
    result = run_weeks_through_dagster(tmp_path, FIRST, assets=ASSETS[:3])
    failures = open_at(tmp_path).store.failures("quarantined_lines")
    assert "<EMAIL_1> wrote nonsense" in failures[FIRST]
    assert leaked([OWNER], everything_told(result)) == []
