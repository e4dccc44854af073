"""The command line: every command from the outside, and every mistake as one line on standard error."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from memloop_assets.benchmarks.standing import no_own_benchmark
from memloop_assets.benchmarks.suite import load_suite
from memloop_assets.cli import main
from memloop_assets.settings import load_settings
from memloop_assets.simulate import write_benchmark
from memloop_assets.trajectories.sources import ReadOptions
from memloop_assets.weeks import IsoWeek
from memloop_tests.scenario import (
    FIRST,
    LAST_RUN,
    WORLD,
    attempt,
    filled_home,
    finished_home,
    ledger_of,
    manifests,
    open_at,
    write_log,
    write_settings,
)

Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _no_first_week_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMLOOP_FIRST_WEEK")


def memloop(home: Path, *arguments: str | Path) -> int:
    """Run a command on a home in this process."""
    return main(["--home", str(home), *map(str, arguments)])


def memloop_process(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command on a home as people do: in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEMLOOP", "DAGSTER"))}
    command = [sys.executable, "-c", "import sys; from memloop_assets.cli import main; sys.exit(main())"]
    return subprocess.run(
        [*command, "--home", str(home), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**kept, "OMP_NUM_THREADS": "1", **environment},
    )


def small_log(folder: Path, week: IsoWeek = FIRST) -> Path:
    lines = [line for number in range(3) for line in attempt(week.start, number, f"Request {number}")]
    return write_log(folder / f"session_{week.start:%Y-%m-%d}.jsonl", lines)


def tau_bench_file(folder: Path) -> Path:
    messages = [{"role": "user", "content": "Change my flight"}, {"role": "assistant", "content": "Done."}]
    runs = [{"task_id": number, "trial": 0, "reward": 1.0, "traj": messages} for number in range(2)]
    path = folder / "runs.json"
    path.write_text(json.dumps(runs))
    return path


def test_ingest_says_what_it_read_and_what_comes_next(tmp_path: Path, capsys: Said) -> None:
    assert memloop(tmp_path / "home", "ingest", small_log(tmp_path)) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"new home  {tmp_path / 'home'}"
    assert said[1] == ("session_2026-01-05.jsonl: new, 12 lines (6 message, 3 outcome, 3 route), 2026-W02..2026-W02")
    assert said[-1] == "next: memloop backfill 2026-W02..2026-W02"
    assert memloop(tmp_path / "home", "ingest", tmp_path / "session_2026-01-05.jsonl") == 0
    said_again = capsys.readouterr().out
    assert "unchanged" in said_again
    assert "new home" not in said_again


def test_the_first_ingest_sets_the_first_week_and_an_earlier_line_is_told_with_the_fix(
    tmp_path: Path, capsys: Said
) -> None:
    home = tmp_path / "home"
    assert memloop(home, "ingest", small_log(tmp_path, IsoWeek(2026, 20))) == 0
    assert load_settings(home, {}).first_week == IsoWeek(2026, 20)
    assert "before the first week" not in capsys.readouterr().out
    assert memloop(home, "ingest", small_log(tmp_path, IsoWeek(2026, 22))) == 0
    assert memloop(home, "ingest", small_log(tmp_path, IsoWeek(2026, 18))) == 0
    assert 'Fix: first_week = "2026-W18" in memloop.toml' in capsys.readouterr().out
    assert load_settings(home, {}).first_week == IsoWeek(2026, 20)
    assert open_at(home).landing.weeks() == [IsoWeek(2026, number) for number in (18, 20, 22)]


def test_a_check_tells_the_same_and_leaves_no_trace(tmp_path: Path, capsys: Said) -> None:
    path = small_log(tmp_path)
    path.write_text(path.read_text() + "not json\n")
    assert memloop(tmp_path / "home", "ingest", path, "--check") == 0
    checked = capsys.readouterr().out
    assert "line 13: not JSON" in checked
    assert "next:" not in checked
    assert not (tmp_path / "home").exists()
    assert memloop(tmp_path / "home", "ingest", path) == 0
    said = capsys.readouterr().out.splitlines()
    assert checked.splitlines()[1:] == said[2:-2]
    assert said[-2] == f"note: {no_own_benchmark()}"


def test_a_format_that_logs_neither_arm_nor_time_is_told_both(tmp_path: Path, capsys: Said) -> None:
    path = tau_bench_file(tmp_path)
    told = ("--format", "tau-bench", "--arm", "gpt", "--start-week", "2026-W12")
    assert memloop(tmp_path / "home", "ingest", path, *told) == 0
    said = capsys.readouterr().out
    assert "2 lines (4 message, 2 outcome, 2 route), 2026-W12..2026-W12" in said
    assert "stamps are synthetic" in said


MISTAKES: dict[str, tuple[list[str], str]] = {
    "no such file": (["ingest", "nowhere.jsonl"], "there is no such file"),
    "a folder without logs": (["ingest", "empty"], "no .jsonl or .json file lies in this folder"),
    "an unknown format": (["ingest", "log.jsonl", "--format", "xml"], "'xml'"),
    "an unknown origin": (["ingest", "log.jsonl", "--origin", "dreams"], "'dreams'"),
    "no arm": (["ingest", "runs.json", "--format", "tau-bench", "--start-week", "2026-W12"], "--arm"),
    "no start week": (["ingest", "runs.json", "--format", "tau-bench", "--arm", "gpt"], "--start-week"),
    "a wrong start week": (
        ["ingest", "runs.json", "--format", "tau-bench", "--arm", "gpt", "--start-week", "March"],
        "'March' is not an ISO week",
    ),
    "not that format": (
        ["ingest", "log.jsonl", "--format", "tau-bench", "--arm", "gpt", "--start-week", "2026-W12"],
        "log.jsonl: tau-bench file: it is not JSON",
    ),
    "no benchmark table": (["benchmark", "import", "nowhere.csv"], "there is no such file"),
    "not a table": (["benchmark", "import", "log.jsonl"], "'.jsonl' is not a known kind"),
    "a table without a column": (["benchmark", "import", "table.csv"], "column prompt, reward is missing"),
    "a share above one": (["benchmark", "import", "whole.csv", "--holdout-share", "2"], "between 0 and 1"),
    "no week": (["backfill", "soon"], "'soon' is not an ISO week"),
    "a day inside a week": (["backfill", "2026-W12-3"], "names a day inside a week"),
    "a range backwards": (["backfill", "2026-W12..2026-W10"], "ends before it starts"),
    "nearly a week": (["report", "2026-46"], "did you mean 2026-W46?"),
    "nearly a command": (["backfil", "2026-W02"], "did you mean 'backfill'?"),
    "nearly an action": (["benchmark", "lst"], "did you mean 'list'?"),
    "nearly a choice": (["ingest", "log.jsonl", "--format", "opena-chat"], "did you mean 'openai-chat'?"),
    "nearly an option": (["backfill", "2026-W02", "--dryrun"], "backfill: unrecognized arguments: --dryrun"),
    "nearly an option's name": (["backfill", "2026-W02", "--dryrun"], "did you mean '--dry-run'?"),
    "half an option": (["ui", "--po", "3000"], "did you mean '--port'?"),
    "a port beyond the last": (["ui", "--port", "70000"], "--port: 70000 is no port"),
    "no port": (["ui", "--port", "0"], "--port: 0 is no port"),
    "no command": ([], "COMMAND"),
    "an unknown command": (["deploy"], "'deploy'"),
    "half a command": (["benchmark"], "ACTION"),
}


def refuse_to_start(*_what: object) -> None:
    """Stand in for what would replace this process by Dagster."""
    pytest.fail("Dagster was started")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_with_its_fix_and_exit_status_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said, name: str
) -> None:
    arguments, culprit = MISTAKES[name]
    monkeypatch.chdir(tmp_path)
    small_log(tmp_path).rename("log.jsonl")
    tau_bench_file(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("task_id,arm\n1,a\n")
    (tmp_path / "whole.csv").write_text("task_id,prompt,arm,reward\n1,Do,a,1\n")
    write_settings(tmp_path / "home")
    monkeypatch.setattr(os, "execve", refuse_to_start)
    assert memloop(tmp_path / "home", *arguments) == 1
    said = capsys.readouterr()
    assert culprit in said.err
    assert ". Fix: " in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize("command", [["status"], ["ingest", "log.jsonl"], ["backfill", "2026-W02"]])
def test_wrong_settings_are_one_line_whatever_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small_log(tmp_path).rename("log.jsonl")
    write_settings(tmp_path / "home", 'first_weak = "2026-W02"')
    assert memloop(tmp_path / "home", *command) == 1
    assert capsys.readouterr().err == (
        "memloop: memloop.toml: key 'first_weak' is not known. Fix: did you mean 'first_week'?\n"
    )


@pytest.mark.parametrize("command", [["ingest", "--check", "log.jsonl"], ["backfill", "2026-W02"]])
def test_a_wrong_section_of_a_room_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small_log(tmp_path).rename("log.jsonl")
    write_settings(tmp_path / "home", "[promotion]\nrequired_task_cont = 200")
    assert memloop(tmp_path / "home", *command) == 1
    said = capsys.readouterr()
    assert said.err.endswith("'required_task_cont' is not known. Fix: did you mean 'required_task_count'?\n")
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert not (tmp_path / "home" / "data").exists()


def test_what_memloop_wrote_is_no_log_unless_it_is_named(tmp_path: Path, capsys: Said) -> None:
    home = finished_home(tmp_path / "home").settings.home
    small_log(home / "more", FIRST.shift(20))
    assert memloop(home, "ingest", home) == 0
    said = capsys.readouterr()
    assert "session_2026-05-25.jsonl: new" in said.out
    assert "manifest.json" not in said.out + said.err
    assert memloop(home, "ingest", home / "data" / "tables") == 1
    assert "manifest.json" in capsys.readouterr().err


def test_wrong_settings_are_told_before_the_ui_starts(tmp_path: Path) -> None:
    write_settings(tmp_path / "home", "first_week = 2026")
    done = memloop_process(tmp_path / "home", "ui")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("memloop: memloop.toml: first_week = 2026 is not a text in quotes. Fix: ")
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_in_use_is_told_before_the_ui_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.setattr(os, "execve", refuse_to_start)
    write_settings(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert memloop(tmp_path, "ui", "--port", str(port)) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"memloop: --port: {port} cannot be used (Address already in use). Fix: stop what is served")
    assert said.count("\n") == 1


READING = (
    ["status"],
    ["report"],
    ["quarantine"],
    ["backfill", "2026-W02"],
    ["export", "sft", "--for", "trl", "--weeks", "2026-W02", "--out", "out.jsonl"],
    ["forget", "--user", "ann"],
    ["ui"],
    *(["benchmark", *action] for action in (["list"], ["show"], ["use", "ours"], ["build"])),
)


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_home_that_is_none_is_told_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "execve", refuse_to_start)
    (tmp_path / "bare").mkdir()
    for name, culprit in (("typo", "there is no such folder"), ("bare", "neither memloop.toml nor data/ lies there")):
        assert memloop(tmp_path / name, *command) == 1
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert said.err.startswith(f"memloop: home {tmp_path / name}: {culprit}. Fix: name another with --home")
    assert [path.name for path in tmp_path.rglob("*")] == ["bare"]


def test_the_home_may_be_named_behind_the_command(tmp_path: Path, capsys: Said) -> None:
    write_settings(tmp_path / "home")
    assert main(["benchmark", "list", "--home", str(tmp_path / "home")]) == 0
    assert main(["status", f"--home={tmp_path / 'home'}"]) == 0
    assert f"home      {tmp_path / 'home'}" in capsys.readouterr().out


def test_a_report_that_is_not_there_is_told_with_those_that_are(tmp_path: Path, capsys: Said) -> None:
    home = finished_home(tmp_path / "home").settings.home
    assert memloop(home, "report", "2026-W46.9") == 1
    assert f"there is no report 2026-W46.9. Fix: weeks with reports: {FIRST}..{LAST_RUN}\n" in capsys.readouterr().err
    assert memloop(home, "report", f"{FIRST}.9") == 1
    assert f"there is no report {FIRST}.9. Fix: the newest of that week is {FIRST}.1\n" in capsys.readouterr().err
    assert memloop(home, "report", str(FIRST)) == 0


def test_a_file_that_cannot_be_read_does_not_keep_the_others_out(tmp_path: Path, capsys: Said) -> None:
    folder = tmp_path / "logs"
    small_log(folder)
    (folder / "loop.jsonl").symlink_to(folder / "loop.jsonl")
    (folder / os.fsdecode(b"caf\xe9.jsonl")).write_bytes(small_log(folder, FIRST.shift(1)).read_bytes())
    assert memloop(tmp_path / "home", "ingest", folder) == 1
    said = capsys.readouterr()
    assert said.err == "caf\\xe9.jsonl: file name: it is not UTF-8. Fix: rename the file\n"
    assert open_at(tmp_path / "home").landing.weeks() == [FIRST, FIRST.shift(1)]


def test_a_home_that_cannot_be_made_is_one_line(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "home").write_text("a file")
    assert memloop(tmp_path / "home", "ingest", small_log(tmp_path)) == 1
    said = capsys.readouterr().err
    assert said.startswith("memloop: ")
    assert said.count("\n") == 1


def test_a_benchmark_is_imported_and_its_split_is_told(tmp_path: Path, capsys: Said) -> None:
    write_benchmark(WORLD, tmp_path / "bench.parquet", 40)
    assert memloop(tmp_path / "home", "benchmark", "import", tmp_path / "bench.parquet", "--name", "ours") == 0
    suite = load_suite(tmp_path / "home" / "data" / "benchmark" / "suite.json")
    counts = (len(suite.tasks_of("practice")), len(suite.tasks_of("holdout")))
    made, said = capsys.readouterr().out.split("\n", 1)
    assert made == f"new home  {tmp_path / 'home'}"
    assert said.startswith(f"benchmark ours: {counts[0]} practice and {counts[1]} holdout tasks, arms case-memory, ")
    assert suite.fingerprint in said


def test_status_of_an_empty_home_says_what_is_missing_and_of_a_full_one_what_stands(
    tmp_path: Path, capsys: Said
) -> None:
    write_settings(tmp_path / "empty")
    assert memloop(tmp_path / "empty", "status") == 0
    said = capsys.readouterr().out
    assert "none ingested: memloop ingest PATH" in said
    assert f"benchmark {no_own_benchmark()}" in said
    home = finished_home(tmp_path / "full")
    assert memloop(tmp_path / "full", "status") == 0
    said = capsys.readouterr().out
    assert f"champion  {home.ledger.champion_as_of()}" in said
    assert "decided   5 weeks" in said
    suite = load_suite(home.places.benchmark_suite)
    assert f"benchmark drawn {suite.version}, {len(suite.tasks_of('holdout'))} holdout tasks\n" in said


def test_a_backfill_in_a_process_of_its_own_gives_what_this_process_gave(tmp_path: Path) -> None:
    home, weeks = filled_home(tmp_path / "home"), f"{FIRST}..{FIRST.shift(1)}"
    write_settings(tmp_path / "home", f'first_week = "{FIRST}"')
    done = memloop_process(tmp_path / "home", "backfill", weeks, PYTHONHASHSEED="77", TZ="Asia/Kolkata", LANG="C")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert sum(line.startswith("  promotion_decision") for line in lines) == 1
    assert [line.split()[0] for line in lines[-2:]] == [str(FIRST), str(FIRST.shift(1))]
    whole = finished_home(tmp_path / "whole")
    assert manifests(home).items() <= manifests(whole).items()
    assert len(manifests(home)) == 24
    assert ledger_of(home) == ledger_of(whole)[:2]


def test_a_first_ingest_that_was_stopped_midway_sets_the_first_week_to_its_earliest_line_once_finished(
    tmp_path: Path,
) -> None:
    home, logs = tmp_path / "home", tmp_path / "logs"
    early = small_log(logs, FIRST.shift(-2))
    open_at(home).landing.ingest(early, ReadOptions())  # landed, and the command was killed before it could say so
    small_log(logs, FIRST)
    assert memloop(home, "ingest", logs) == 0
    assert load_settings(home, {}).first_week == FIRST.shift(-2)


def test_weeks_that_are_not_offered_are_one_line_and_run_nothing(tmp_path: Path) -> None:
    write_settings(tmp_path, f'first_week = "{FIRST}"')
    done = memloop_process(tmp_path, "backfill", "2025-W40..2026-W03")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("memloop: week: 2025-W40 is not offered. Fix: use 2026-W02 to ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "data" / "tables").exists()


def test_the_installed_command_answers(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("memloop")
    done = subprocess.run([command, "--home", tmp_path, "ingest", "x"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "memloop: x: there is no such file. Fix: check the path\n")
