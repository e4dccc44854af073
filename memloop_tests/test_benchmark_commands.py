"""The ``memloop benchmark`` commands from the outside: built, kept, listed, shown, taken up again; mistakes are one line."""

import csv
import io
from datetime import timedelta
from pathlib import Path

import pytest

from memloop_assets.benchmarks.standing import no_own_benchmark
from memloop_assets.benchmarks.suite import load_suite
from memloop_assets.cli import main
from memloop_assets.datasets.tables import DATASET_SNAPSHOT
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.store import Provenance
from memloop_assets.tasks import task_key
from memloop_assets.trajectories.sources import ReadOptions
from memloop_tests.scenario import FIRST, attempt, open_at, write_log, write_settings

Said = pytest.CaptureFixture[str]
SMALL, LARGE = "small-model", "large-model"


def memloop(home: Path, *arguments: str | Path) -> int:
    return main(["--home", str(home), "benchmark", *map(str, arguments)])


def ingest(folder: Path, name: str, *tried: tuple[str, str], origin: str = "live") -> None:
    """Ingest attempts at requests by arms, a minute apart; a large model succeeds, a small one where the request has no 7."""
    lines = [
        line
        for number, (request, arm) in enumerate(tried)
        for line in attempt(
            FIRST.start + timedelta(minutes=number),
            number,
            request,
            arm=arm,
            reward=float(arm == LARGE or "7" not in request),
        )
    ]
    path = write_log(folder / "logs" / name / f"session_{FIRST.start:%Y-%m-%d}.jsonl", lines)
    open_at(folder).landing.ingest(path, ReadOptions(origin=origin))  # type: ignore[arg-type]  # an origin


def home_with_trials(folder: Path) -> Path:
    """Return a home in which both models tried 30 tasks, and 10 more were tried by the small one alone."""
    write_settings(folder)
    both = [(f"Request {number}", arm) for number in range(30) for arm in (SMALL, LARGE)]
    ingest(folder, "live", *both, *((f"Another {number}", SMALL) for number in range(10)))
    return folder


def suite_file(home: Path) -> Path:
    return home / "data" / "benchmark" / "suite.json"


def test_a_benchmark_is_built_told_and_taken_into_use(tmp_path: Path, capsys: Said) -> None:
    home = home_with_trials(tmp_path)
    assert memloop(home, "build", "--name", "ours", "--holdout-share", "0.8") == 0
    said = capsys.readouterr().out
    suite = load_suite(suite_file(home))
    assert (suite.name, len(suite.tasks), suite.arms, suite.holdout_share) == ("ours", 30, (LARGE, SMALL), 0.8)
    assert f"logs      {FIRST}..{FIRST}: 70 trials of 40 tasks" in said
    assert "kept      30 tasks that all 2 arms tried" in said
    assert "gaps      10 tasks lack an arm: large-model 10; 10 shadow calls" in said
    assert "the arms' rewards differ on 10.0% of 30 tasks" in said
    assert said.splitlines()[-2].startswith("benchmark ours: ")
    assert said.splitlines()[-1] == f"next: memloop backfill {FIRST}..{FIRST}"


def test_a_check_tells_the_same_and_saves_nothing(tmp_path: Path, capsys: Said) -> None:
    home = home_with_trials(tmp_path)
    assert memloop(home, "build", "--check") == 0
    checked = capsys.readouterr().out
    assert not suite_file(home).exists()
    assert memloop(home, "build") == 0
    assert capsys.readouterr().out.startswith(checked)


def test_the_calls_of_the_gaps_file_ingested_as_shadow_calls_fill_the_benchmark(tmp_path: Path, capsys: Said) -> None:
    home = home_with_trials(tmp_path)
    assert memloop(home, "build", "--gaps", tmp_path / "gaps.csv") == 0
    calls = [*csv.DictReader(io.StringIO((tmp_path / "gaps.csv").read_text(encoding="utf-8")))]
    assert {call["arm"] for call in calls} == {LARGE}
    ingest(home, "shadow", *((call["prompt"], call["arm"]) for call in calls), origin="benchmark")
    assert memloop(home, "build") == 0
    assert len(load_suite(suite_file(home)).tasks) == 40
    assert "gaps      none" in capsys.readouterr().out
    assert memloop(home, "build", "--origin", "live") == 0
    assert len(load_suite(suite_file(home)).tasks) == 30


def test_benchmarks_are_listed_shown_and_used_again(tmp_path: Path, capsys: Said) -> None:
    home = home_with_trials(tmp_path)
    assert memloop(home, "list") == 0
    assert capsys.readouterr().out == f"{no_own_benchmark()}\n"
    memloop(home, "build", "--name", "old", "--holdout-share", "0.2")
    memloop(home, "build", "--name", "new")
    old, new = "23 practice, 7 holdout", "16 practice, 14 holdout"
    capsys.readouterr()
    assert memloop(home, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [("in use" in line, line.split(": ")[0].split()[-1]) for line in lines] == [(True, "new"), (False, "old")]
    assert new in lines[0], lines[0]
    assert old in lines[1], lines[1]
    assert "built from 60 trials in the logs of" in lines[1]
    assert memloop(home, "show", "old") == 0
    assert "(not in use)" in capsys.readouterr().out
    assert memloop(home, "use", "old") == 0
    capsys.readouterr()
    assert memloop(home, "show") == 0
    said = capsys.readouterr().out
    assert said.startswith("benchmark old: 23 practice and 7 holdout tasks")
    assert "arm       small-model  30 of 30 tasks, mean reward 0.900" in said
    assert "(not in use)" not in said


def test_where_no_task_is_kept_the_gaps_are_told_and_nothing_is_saved(tmp_path: Path, capsys: Said) -> None:
    write_settings(tmp_path)
    ingest(tmp_path, "live", ("One", SMALL), ("Two", LARGE))
    assert memloop(tmp_path, "build") == 1
    said = capsys.readouterr()
    assert "gaps      2 tasks lack an arm" in said.out
    assert said.err.startswith("memloop: benchmark build: no task was tried by enough arms")
    assert said.err.count("\n") == 1
    assert not suite_file(tmp_path).exists()


def test_logs_of_one_arm_still_give_the_calls_that_a_priced_arm_lacks(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "memloop.toml").write_text(f"[arms.{SMALL}]\n[arms.{LARGE}]\n")
    ingest(tmp_path, "live", ("One", SMALL), ("Two", SMALL))
    gaps = tmp_path / "gaps.csv"
    for _again in range(2):  # a list of gaps may be replaced by the next one
        assert memloop(tmp_path, "build", "--check", "--gaps", gaps) == 1
        assert capsys.readouterr().err.startswith("memloop: benchmark build: no task was tried by enough arms")
    calls = [*csv.DictReader(io.StringIO(gaps.read_text(encoding="utf-8")))]
    assert {(call["arm"], call["prompt"]) for call in calls} == {(LARGE, "One"), (LARGE, "Two")}
    (tmp_path / "memloop.toml").write_text(f"[arms.{SMALL}]\n")
    assert memloop(tmp_path, "build", "--check") == 1
    assert "name a second arm as [arms.NAME] in memloop.toml: --gaps FILE then lists" in capsys.readouterr().err


def test_without_gaps_no_file_is_written_and_no_other_file_is_replaced(tmp_path: Path, capsys: Said) -> None:
    write_settings(tmp_path)
    ingest(tmp_path, "live", ("One", SMALL), ("One", LARGE))
    assert memloop(tmp_path, "build", "--check", "--gaps", tmp_path / "gaps.csv") == 0
    assert f"no gaps: nothing was written to {tmp_path / 'gaps.csv'}" in capsys.readouterr().out
    assert not (tmp_path / "gaps.csv").exists()
    (tmp_path / "mine.csv").write_text("task_id,prompt\n")
    for name, culprit in (("mine.csv", "is no list of gaps"), ("logs", "cannot be written"), ("no/gaps.csv", "cannot")):
        assert memloop(tmp_path, "build", "--check", "--gaps", tmp_path / name) == 1
        said = capsys.readouterr()
        assert said.err.startswith("memloop: --gaps: ")
        assert culprit in said.err
        assert said.out == ""
    assert (tmp_path / "mine.csv").read_text() == "task_id,prompt\n"


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["build"], "no logs are ingested"),
        (["build", "--min-arms", "1"], "--min-arms: it is 1"),
        (["build", "--weeks", "soon"], "'soon' is not an ISO week"),
        (["build", "--origin", "review"], "'review'"),
        (["show"], "none is in use"),
        (["use", "ours"], "none is called 'ours'"),
    ],
)
def test_a_mistake_is_one_line_with_its_fix(tmp_path: Path, capsys: Said, arguments: list[str], culprit: str) -> None:
    write_settings(tmp_path)
    assert memloop(tmp_path, *arguments) == 1
    said = capsys.readouterr()
    assert culprit in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_an_arm_that_was_never_tried_and_a_share_above_one_are_refused(tmp_path: Path, capsys: Said) -> None:
    home = home_with_trials(tmp_path)
    assert memloop(home, "build", "--arm", SMALL, "--arm", "lagre") == 1
    assert "'lagre' tried no task with a known reward, and" in capsys.readouterr().err
    assert memloop(home, "build", "--arm", SMALL, "--arm", "lare-model") == 1
    assert f"Fix: did you mean '{LARGE}'?" in capsys.readouterr().err
    assert memloop(home, "build", "--holdout-share", "2") == 1
    assert "between 0 and 1" in capsys.readouterr().err


def test_holdout_tasks_that_have_taught_until_now_are_told(tmp_path: Path, capsys: Said) -> None:
    home = home_with_trials(tmp_path)
    memloop(home, "build", "--check")
    assert "have taught" not in capsys.readouterr().out
    taught = [task_key(f"Request {number}") for number in range(7)]
    rows = [
        {"week": str(FIRST), "example_week": str(FIRST), "table_name": "router_samples", "weight": 1.0}
        | {"example_id": key, "task_key": key}
        for key in taught
    ]
    open_at(home).store.publish(DATASET_SNAPSHOT, FIRST, DATASET_SNAPSHOT.table(rows), Provenance())
    assert memloop(home, "build", "--holdout-share", "1") == 0
    assert "note: 7 of 30 holdout tasks have taught until now" in capsys.readouterr().out


def test_what_is_warned_of_is_what_the_gate_asks(tmp_path: Path, capsys: Said) -> None:
    home = home_with_trials(tmp_path)
    memloop(home, "build")
    required = PromotionPolicy().required_task_count
    assert f"14 holdout tasks; the gate holds below {required} (required_task_count)" in capsys.readouterr().out
    write_settings(home, "[promotion]\nrequired_task_count = 14\n")
    memloop(home, "show")
    assert "required_task_count" not in capsys.readouterr().out


def test_an_ingest_says_how_to_get_a_benchmark_until_there_is_one(tmp_path: Path, capsys: Said) -> None:
    home = home_with_trials(tmp_path)
    for number, is_told in ((1, True), (2, False)):
        lines = attempt(FIRST.start, 500 + number, "Another request")
        path = write_log(tmp_path / f"more{number}" / f"session_{FIRST.start:%Y-%m-%d}.jsonl", lines)
        assert main(["--home", str(home), "ingest", str(path)]) == 0
        assert (f"note: {no_own_benchmark()}" in capsys.readouterr().out) == is_told
        memloop(home, "build")
        capsys.readouterr()
