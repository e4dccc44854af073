"""Forgetting a person: nothing of theirs is left in any generation of any table, and what is built again is what it is without them."""

import json
import shutil
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from memloop_assets.benchmarks.long_table import import_long_table
from memloop_assets.benchmarks.suite import save_suite
from memloop_assets.cli import main
from memloop_assets.datasets.owned_rows import TABLES_OF_PEOPLE
from memloop_assets.errors import BadInput, WriterConflict
from memloop_assets.forgetting import Found, find_person, forget_lines, forget_person
from memloop_assets.home import Home
from memloop_assets.orchestration.forget import refuse_beside_any_run, runs_since
from memloop_assets.routing.prior_files import load_prior
from memloop_assets.status import WEEKLY_TABLES, status_lines
from memloop_assets.store import Provenance
from memloop_assets.trajectories.landing import Landing
from memloop_assets.trajectories.sources import ReadOptions
from memloop_assets.trajectories.tables import TRAJECTORIES
from memloop_tests.architecture.source_tree import ROOT
from memloop_tests.scenario import (
    FIRST,
    WORLD,
    Line,
    attempt,
    import_benchmark,
    open_at,
    run_weeks_through_dagster,
    write_log,
    write_settings,
)

LAST = FIRST.shift(1)
BOB, ANN, OPAQUE = "bob@example.org", "ann@example.org", "u-77"
PEOPLE = (BOB, ANN, OPAQUE)
FOUND_IN = [contract.name for contract in TABLES_OF_PEOPLE]
Said = pytest.CaptureFixture[str]


def is_calm() -> bool:
    """Say that no other run has written."""
    return False


def word_of(person: str) -> str:
    return person.split("@", maxsplit=1)[0] + "word"


def lines_of(person: str, numbers: range) -> Iterator[Line]:
    """Yield what a person asked in two weeks: some tasks are shared with others, the words of the answers with nobody."""
    place = PEOPLE.index(person)
    for number in numbers:
        at = (LAST if number % 2 else FIRST).start + timedelta(hours=place, minutes=10 * number)
        request = f"Shared question {number}" if number < 2 else f"Question {number} of {word_of(person)}"
        for line in attempt(at, 100 * place + number, request, reward=float(person != OPAQUE)):
            said = {"content": f"{line['content']} for {word_of(person)}"} if line.get("role") == "assistant" else {}
            yield {**line, **said, **({"user_id": person} if line["type"] == "route" else {})}
        yield {"type": "odd", "user_id": person, "note": word_of(person), "timestamp": at.isoformat()}


def write_story(folder: Path, *, more: bool, without: Sequence[str] = ()) -> Path:
    """Write the log of all people; lines of one that is left out are blank, so that the others keep their numbers."""
    parts = [range(4), range(4, 6)] if more else [range(4)]
    told = [(person, line) for numbers in parts for person in PEOPLE for line in lines_of(person, numbers)]
    path = write_log(folder / "session.jsonl", [line for _, line in told])
    texts = path.read_text().splitlines()
    kept = [" " * len(text) if person in without else text for text, (person, _) in zip(texts, told, strict=True)]
    path.write_text("".join(f"{text}\n" for text in kept))
    return path


def run(folder: Path) -> None:
    assets = [*FOUND_IN, "benchmark_suite"]
    assert run_weeks_through_dagster(folder, FIRST, LAST, assets=assets).success


def home_at(folder: Path, *, without: Sequence[str] = ()) -> Home:
    """Return a home whose weeks were built twice, with late lines, so that old generations lie about; once where somebody is left out."""
    write_settings(folder, f'first_week = "{FIRST}"')
    home = open_at(folder)
    import_benchmark(home, WORLD)
    for more in (True,) if without else (False, True):
        home.landing.ingest(write_story(folder / "logs", more=more, without=without), ReadOptions())
        run(folder)
    return home


def stored(home: Home) -> str:
    """Return everything under the tables and the landing as text, every generation of every table included."""
    parts = []
    for path in sorted((*home.places.tables.rglob("*"), *home.places.landing.rglob("*"))):
        if path.suffix == ".parquet":
            parts.append(json.dumps(pq.read_table(path, use_threads=False).to_pylist(), default=str))
        elif path.is_file():
            parts.append(path.read_text())
    return "\n".join(parts)


def generations(home: Home) -> dict[str, str | None]:
    return {f"{name} {week}": home.store.generation(name, week) for name in FOUND_IN for week in (FIRST, LAST)}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "home"
    home_at(folder).state.close()
    return folder


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Home:
    shutil.copytree(built, tmp_path / "home")
    return open_at(tmp_path / "home")


def test_nothing_of_forgotten_people_is_left_and_the_weeks_built_again_are_those_without_them(
    home: Home, tmp_path: Path
) -> None:
    assert all(word_of(person) in stored(home) for person in PEOPLE)
    assert all(home.store.read(name, LAST).num_rows for name in FOUND_IN)
    touched: set[str] = set()
    for number, person in enumerate((ANN, OPAQUE), start=1):
        found = forget_person(home, person, is_calm)
        touched |= set(found.row_counts)
        assert len(found.lines) == 30
        left = stored(home)
        assert word_of(person) not in left
        assert person not in left
        assert f"forgotten {number} people, newest 2026-06-01" in status_lines(home)
    assert word_of(BOB) in left
    assert touched == set(FOUND_IN)
    assert any(line.startswith("stale     trajectories") for line in status_lines(home))
    run(home.settings.home)
    assert generations(home) == generations(home_at(tmp_path / "clean", without=(ANN, OPAQUE)))
    assert word_of(ANN) not in stored(home)
    assert find_person(home, ANN).state == "forgotten"


def test_their_rows_are_gone_at_once_and_those_of_others_stay_readable(home: Home) -> None:
    before = home.store.read("trajectories", LAST)["task_text"].to_pylist()
    forget_person(home, OPAQUE, is_calm)
    after = home.store.read("trajectories", LAST)["task_text"].to_pylist()
    assert set(before) - set(after) == {"Question 3 of u-77word", "Question 5 of u-77word"}
    assert set(after) < set(before)


def test_priors_made_of_their_weeks_go_and_come_back_without_them(home: Home) -> None:
    folder = home.settings.home
    write_settings(folder, f'first_week = "{FIRST}"\n[datasets]\nretention_weeks = 1\n[routing]\nprior_rank = 4')
    home, assets = open_at(folder), [*FOUND_IN, "benchmark_suite", "router_checkpoint"]
    assert run_weeks_through_dagster(folder, FIRST, LAST, assets=assets).success
    (before,) = home.places.router_priors.iterdir()
    assert load_prior(home.places.router_priors, before.name).task_count == 7
    assert find_person(home, ANN).prior_count == 1
    found = forget_person(home, ANN, is_calm)
    assert "  1 priors of routers, made of rows of weeks with rows of theirs" in forget_lines(found, is_rehearsal=False)
    assert LAST in found.weeks
    assert not list(home.places.router_priors.iterdir())
    assert run_weeks_through_dagster(folder, LAST.shift(1), assets=assets).success
    assert f"prior {before.name}: there is none" in str(home.store.failure("router_checkpoint", LAST.shift(1)))
    assert run_weeks_through_dagster(folder, FIRST, LAST, assets=assets).success
    (after,) = home.places.router_priors.iterdir()
    assert after.name != before.name
    assert load_prior(home.places.router_priors, after.name).task_count == 5


class Killed(BaseException):
    """Stands for a process that ends here."""


@pytest.mark.parametrize("step", range(6))
def test_killed_at_any_step_it_finishes_when_it_is_run_again(
    home: Home, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {
        0: (Landing, "forget"), 1: (Landing, "_blank"), 2: (type(home.landing.forgotten), "note"),
        3: (type(home.store), "publish"), 4: (type(home.store), "erase"), 5: (type(home.landing.forgotten), "finish"),
    }  # fmt: skip
    kind, name = steps[step]
    calls = []

    def kill(*_arguments: object, **_named: object) -> None:
        calls.append(name)
        raise Killed

    real = getattr(kind, name)

    def kill_later(*arguments: object, **named: object) -> object:
        """Let the first calls pass, so that the work is half done."""
        calls.append(name)
        if len(calls) > 3:
            raise Killed
        return real(*arguments, **named)

    monkeypatch.setattr(kind, name, kill_later if name in ("publish", "erase") else kill)
    with pytest.raises(Killed):
        forget_person(home, ANN, is_calm)
    monkeypatch.undo()
    assert home.landing.forgotten.unfinished()
    assert any("stopped 1 on their way" in line for line in status_lines(home))
    if step == 4:
        run(home.settings.home)  # somebody builds the weeks before it is run again
    assert forget_person(home, ANN, is_calm).state == "found"
    assert word_of(ANN) not in stored(home)
    assert home.landing.forgotten.unfinished() == frozenset()


def test_rows_that_a_run_publishes_meanwhile_go_too(home: Home) -> None:
    before = home.store.read("trajectories", LAST)
    asked: list[int] = []

    def settle() -> bool:
        asked.append(len(asked))
        if asked == [0]:
            home.store.publish(TRAJECTORIES, LAST, before, Provenance())
        return asked == [0]

    forget_person(home, OPAQUE, settle)
    assert asked == [0, 1]
    assert word_of(OPAQUE) not in stored(home)


def test_an_unknown_person_is_told_and_nothing_is_written(home: Home, capsys: Said) -> None:
    before = stored(home)
    assert forget_person(home, "nobody@example.org", is_calm).state == "unknown"
    assert home.landing.forgotten.events() == []
    assert main(["--home", str(home.settings.home), "forget", "--user", "nobody", "--dry-run"]) == 1
    assert "nothing of this user id was found" in capsys.readouterr().out
    with pytest.raises(BadInput, match="the id is empty"):
        find_person(home, " ")
    assert stored(home) == before


def test_a_dry_run_tells_what_would_go_and_changes_nothing(home: Home, capsys: Said) -> None:
    before = stored(home)
    assert main(["--home", str(home.settings.home), "forget", "--user", ANN, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "would remove 30 landed lines in 1 files" in said
    assert ANN not in said
    assert stored(home) == before
    assert home.landing.forgotten.events() == []
    assert not home.landing.forgotten.key_path.exists()


def test_the_command_forgets_in_a_process_of_its_own_and_says_what_comes_next(
    home: Home, monkeypatch: pytest.MonkeyPatch, capfd: Said
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = ["--home", str(home.settings.home), "forget", "--user", ANN]
    assert main(command) == 0
    said = capfd.readouterr().out
    assert "removed 30 landed lines in 1 files" in said
    assert f"next: memloop backfill {FIRST}..{LAST}" in said
    assert "not reached: the agent's own logs, files already exported, backups" in said
    assert word_of(ANN) not in stored(home)


def test_it_does_not_run_beside_another_run_and_notices_one_that_ran_meanwhile() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        has_run = runs_since(instance)
        assert not has_run()
        instance.add_run(dg.DagsterRun(job_name="datasets", status=dg.DagsterRunStatus.SUCCESS))
        assert has_run()
        assert not has_run()
        instance.add_run(dg.DagsterRun(job_name="datasets", status=dg.DagsterRunStatus.STARTED))
        with pytest.raises(WriterConflict, match="is writing this home"):
            refuse_beside_any_run(instance)


def test_a_generation_that_cannot_be_read_is_erased_for_nobody_can_tell_what_it_holds(home: Home) -> None:
    (old,) = [
        g
        for w, g in home.store.generations("trajectories")
        if w == FIRST and g != home.store.generation("trajectories", FIRST)
    ]
    part = home.places.tables / "trajectories" / str(FIRST) / old / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    found: Found = forget_person(home, OPAQUE, is_calm)
    assert found.state == "found"
    assert not part.parent.exists()


def test_an_unknown_person_costs_no_generation_even_where_one_cannot_be_read(home: Home) -> None:
    for week, generation in home.store.generations("trajectories"):
        part = home.places.tables / "trajectories" / str(week) / generation / "part-00000.parquet"
        part.write_bytes(part.read_bytes()[:-1])
    before = home.store.generations("trajectories")
    assert forget_person(home, "nobody", is_calm).state == "unknown"
    assert home.store.generations("trajectories") == before


def test_lines_that_are_landed_between_the_look_and_the_beginning_go_too(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = write_log(home.settings.home / "logs" / "late.jsonl", lines_of(OPAQUE, range(6, 7)))
    index = home.landing.forgotten
    begin = type(index).begin

    def land_and_begin(*arguments: Any) -> None:
        home.landing.ingest(late, ReadOptions())
        begin(*arguments)

    monkeypatch.setattr(type(index), "begin", land_and_begin)
    assert len(forget_person(home, OPAQUE, is_calm).lines) == 35
    assert word_of(OPAQUE) not in stored(home)


def test_a_benchmark_and_a_file_name_that_hold_what_is_theirs_are_told(home: Home, tmp_path: Path) -> None:
    table = tmp_path / "outcomes.csv"
    asked = [f"Question {number} of {word_of(OPAQUE)}" for number in (2, 3)]
    rows = [f"{n},{text},d,{arm},1.0" for n, text in enumerate((*asked, "Another")) for arm in ("a", "b")]
    table.write_text("task_id,prompt,domain,arm,reward\n" + "\n".join(rows) + "\n")
    save_suite(import_long_table(table, name="own", holdout_share=0.5), home.places.benchmark_suite)
    named = write_log(tmp_path / f"{OPAQUE}.jsonl", attempt(FIRST.start, 0, "Hello"))
    home.landing.ingest(named, ReadOptions())
    said = "\n".join(forget_lines(find_person(home, OPAQUE), is_rehearsal=True))
    assert "note: 2 tasks of kept benchmarks are tasks that they asked too" in said
    assert "note: 1 paths of log files hold the id" in said
    assert "note" not in "\n".join(forget_lines(find_person(home, BOB), is_rehearsal=True))


def test_every_weekly_table_is_either_searched_or_holds_no_person() -> None:
    holds_no_person = {"router_checkpoint", "benchmark_results", "promotion_decision", "training_report"}
    assert set(WEEKLY_TABLES) == set(FOUND_IN) | holds_no_person
