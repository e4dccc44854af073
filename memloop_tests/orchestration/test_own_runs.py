"""Backfills that are killed: nothing is lost or left hanging, the next one finishes what they began, and two never write at once."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from memloop_assets.cli import main
from memloop_assets.dagster_process import prepare_instance
from memloop_assets.errors import WriterConflict
from memloop_assets.home import Home
from memloop_assets.orchestration.own_runs import (
    close_dead_runs,
    own_tags,
    refuse_beside_other_runs,
    sole_backfill,
)
from memloop_assets.promotion.attempts import Attempts
from memloop_assets.simulate import World
from memloop_tests.architecture.source_tree import ROOT
from memloop_tests.scenario import FIRST, fill_home, ledger_of, manifests, run_weeks_through_dagster

LAST = FIRST.shift(1)
SMALL = World(first_week=FIRST, seed=2, week_count=2, trajectories_per_week=40, exploration_ratio=0.8)
KILLS = 3


def small_home(folder: Path) -> Home:
    return fill_home(folder, SMALL, settings=f'first_week = "{FIRST}"')


def start_backfill(folder: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, **prepare_instance(folder), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "memloop_assets.orchestration.backfill", str(FIRST), str(LAST)]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE)


def kill_after(process: "subprocess.Popen[str]", line_count: int, pause_s: float) -> list[str]:
    """Kill a backfill a moment after it has finished so many assets; return the lines that it told."""
    assert process.stdout is not None
    lines: list[str] = []
    while sum(f"{LAST}  " in line for line in lines) < line_count:
        lines.append(process.stdout.readline())
        assert lines[-1], "it ended before it could be killed"
    time.sleep(pause_s)
    process.kill()
    process.wait()
    process.stdout.close()
    return lines


def test_a_backfill_killed_again_and_again_ends_as_an_undisturbed_one_and_leaves_no_run_hanging(tmp_path: Path) -> None:
    home, folder, chance = small_home(tmp_path / "killed"), tmp_path / "killed", random.Random(7)  # noqa: S311  # seeded, no secret
    for _ in range(KILLS):
        kill_after(start_backfill(folder), chance.randint(1, 3), chance.uniform(0.0, 0.3))
    process = start_backfill(folder)
    said, _ = process.communicate()
    assert process.returncode == 0
    assert "closed run" in said
    assert "resumes run" in said
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        statuses = [run.status for run in instance.get_runs()]
        assert instance.get_materialized_partitions(dg.AssetKey("session_logs")) == {FIRST.key, LAST.key}
    assert statuses == [dg.DagsterRunStatus.SUCCESS] + [dg.DagsterRunStatus.FAILURE] * KILLS
    quiet = small_home(tmp_path / "quiet")
    assert run_weeks_through_dagster(tmp_path / "quiet", FIRST, LAST).success
    assert manifests(home) == manifests(quiet)
    assert ledger_of(home) == ledger_of(quiet)
    attempts = Attempts(home.state, home.places.training_reports)
    outcomes = [row.outcome for row in attempts.rows(LAST)]
    assert outcomes[:KILLS] == ["error"] * KILLS
    assert len(outcomes) == KILLS + 1
    assert outcomes[-1] != "error"
    assert "came to no end" in attempts.get_report(f"{LAST}.1")["reasons"][0]


def test_a_run_whose_process_was_killed_before_it_started_is_closed_like_any_other(tmp_path: Path) -> None:
    home = small_home(tmp_path)
    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.DagsterRun(job_name="weekly_loop", status=dg.DagsterRunStatus.NOT_STARTED, tags=own_tags())
        instance.add_run(run)
        assert [dead.run_id for dead in close_dead_runs(instance, home)] == [run.run_id]
        assert [found.status for found in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]


def test_a_second_backfill_of_a_home_is_refused_in_one_line_until_the_first_has_ended(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    home = small_home(tmp_path / "home")
    with sole_backfill(home.places.backfill_lock):
        assert main(["--home", str(tmp_path / "home"), "backfill", str(FIRST)]) == 1
        said = capfd.readouterr()
        assert f"another one is writing this home (process {os.getpid()} on " in said.err
        assert said.err.count("\n") == 1
        assert home.store.weeks("session_logs") == []
    with sole_backfill(home.places.backfill_lock):
        pass


def test_a_run_of_the_ui_at_the_gate_is_waited_for_and_never_closed() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        refuse_beside_other_runs(instance)
        run = dg.DagsterRun(
            job_name="weekly_loop", status=dg.DagsterRunStatus.STARTED, tags={"memloop/serial": "weekly_loop"}
        )
        instance.add_run(run)
        with pytest.raises(WriterConflict, match="the UI or its schedule is writing this home"):
            refuse_beside_other_runs(instance)
