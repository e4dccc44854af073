"""A full disk, a read-only home, a file that cannot be read: one line for the user, nothing torn, and the next run mends everything.

Disks are real: small file systems in a mount namespace of the test's own, where this process may make one. Read errors are made where
Python opens a file.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from memloop_assets.cli import main
from memloop_assets.dagster_process import prepare_instance
from memloop_assets.errors import TableError
from memloop_assets.simulate import World, write_logs
from memloop_assets.store import Store
from memloop_assets.trajectories.sources import ReadOptions, find_logs
from memloop_tests.architecture.source_tree import ROOT
from memloop_tests.failing_reads import fail_reads_of
from memloop_tests.scenario import (
    FIRST,
    attempt,
    ledger_of,
    manifests,
    open_at,
    run_weeks_through_dagster,
    write_log,
    write_settings,
)
from memloop_tests.writers import WEEK, publish, words

SMALL = World(first_week=FIRST, seed=3, week_count=1, trajectories_per_week=30, exploration_ratio=0.8)
MEMLOOP = f'{sys.executable} -c "import sys; from memloop_assets.cli import main; sys.exit(main())" --home "$AT"'

FILL_AND_FREE = f"""
mount -t tmpfs -o size=180k tmpfs "$AT"
cp "$GIVEN/memloop.toml" "$AT"
{MEMLOOP} ingest "$GIVEN/logs" 2> "$OUT/ingest" && exit 9
mount -o remount,size=64m "$AT"
{MEMLOOP} ingest "$GIVEN/logs"
free=$(df -B1 --output=avail "$AT" | tail -1)
head -c $((free - 900000)) /dev/zero > "$AT/filler"
{MEMLOOP} backfill {FIRST} 2> "$OUT/backfill" && exit 9
rm "$AT/filler"
{MEMLOOP} backfill {FIRST}
cp -a "$AT" "$OUT/home"
"""

READ_ONLY = f"""
mount --bind "$AT" "$AT"
mount -o remount,ro,bind "$AT"
{sys.executable} -c "$ASKED" "$AT" "$GIVEN/logs" 2> "$OUT/said"
"""
ASKED = f"""
import sys
from memloop_assets.cli import main
home, logs = sys.argv[1:]
for command in (["status"], ["ingest", logs], ["backfill", "{FIRST}"], ["ui"]):
    assert main(["--home", home, *command]) == 1, command
"""


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Return folders for a script: a mount point, what it is given, where it leaves what came out; skips where nothing can be mounted."""
    found = {name: tmp_path / name.lower() for name in ("AT", "GIVEN", "OUT")}
    for folder in found.values():
        folder.mkdir()
    if not shutil.which("unshare"):
        pytest.skip("no unshare here: a file system for this test alone cannot be mounted")
    tried = run_in_own_mounts('mount -t tmpfs -o size=64k tmpfs "$AT"', found)
    if tried.returncode:
        pytest.skip(f"this process may not mount a file system: {tried.stderr.strip()}")
    return found


def run_in_own_mounts(script: str, places: dict[str, Path], **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a shell script whose mounts nobody else sees and that are gone with it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEMLOOP", "DAGSTER"))}
    told = {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        **{name: str(path) for name, path in places.items()},
        **more,
    }
    command = ["unshare", "--mount", "sh", "-eu", "-c", script]
    return subprocess.run(command, env={**kept, **told}, capture_output=True, text=True, check=False)


def test_a_disk_that_fills_up_is_one_line_and_once_there_is_room_the_next_commands_finish_with_the_same_hashes(
    places: dict[str, Path], tmp_path: Path
) -> None:
    logs = places["GIVEN"] / "logs"
    write_logs(SMALL, logs)
    for folder in (places["GIVEN"], tmp_path / "quiet"):
        write_settings(folder, f'first_week = "{FIRST}"')
    done = run_in_own_mounts(FILL_AND_FREE, places)
    assert done.returncode == 0, done.stdout + done.stderr
    for command in ("ingest", "backfill"):
        *_, line = (places["OUT"] / command).read_text().splitlines()
        assert line.startswith("memloop: ")
        assert "room" in line
    assert "Traceback" not in (places["OUT"] / "backfill").read_text()
    quiet = open_at(tmp_path / "quiet")
    for path in find_logs(logs):
        quiet.landing.ingest(path, ReadOptions())
    assert run_weeks_through_dagster(tmp_path / "quiet", FIRST).success
    home = open_at(places["OUT"] / "home")
    assert manifests(home) == manifests(quiet)
    assert ledger_of(home) == ledger_of(quiet)
    assert [*home.places.data.rglob(".new-*"), *home.places.landing.glob(".incoming")] == []
    with dg.DagsterInstance.from_config(str(places["OUT"] / "home")) as instance:
        assert {run.status for run in instance.get_runs()} <= {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}


def test_a_home_that_is_read_only_is_one_line_whatever_is_asked_of_it(places: dict[str, Path]) -> None:
    home = places["AT"]
    write_settings(home, f'first_week = "{FIRST}"')
    log = write_log(places["GIVEN"] / "logs" / "session.jsonl", attempt(FIRST.start, 1, "A request"))
    open_at(home).landing.ingest(log, ReadOptions())
    prepare_instance(home)
    done = run_in_own_mounts(READ_ONLY, places, ASKED=ASKED)
    assert done.returncode == 0, done.stderr
    said = (places["OUT"] / "said").read_text().splitlines()
    assert len(said) == 4
    assert all(line.startswith(f"memloop: {home}") and "Read-only file system. Fix: " in line for line in said)


def test_a_log_that_the_disk_cannot_read_is_named_the_others_are_read_and_it_is_read_whole_once_it_can_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(tmp_path)
    logs = [
        write_log(tmp_path / "logs" / f"s{number}.jsonl", attempt(FIRST.shift(number).start, number, "A request"))
        for number in range(2)
    ]
    command = ["--home", str(tmp_path), "ingest", str(tmp_path / "logs")]
    with monkeypatch.context() as patched:
        fail_reads_of(logs[0], patched, good_bytes=300)
        assert main(command) == 1
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        f"s0.jsonl: {logs[0]}: Input/output error. Fix: see that the disk is sound and has room, then run the same command again"
    ]
    assert "s1.jsonl: new, 4 lines" in said.out
    landing = open_at(tmp_path).landing
    assert landing.weeks() == [FIRST.shift(1)]
    assert not (landing.folder / ".incoming").exists()
    assert main(command) == 0
    assert "s0.jsonl: new, 4 lines" in capsys.readouterr().out


def test_a_landing_copy_that_the_disk_cannot_read_fails_the_weeks_that_need_it_until_it_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(tmp_path)
    home, far = open_at(tmp_path), FIRST.shift(6)
    for week in (FIRST, far):
        log = write_log(tmp_path / "logs" / f"{week}.jsonl", attempt(week.start, 1, "A request"))
        home.landing.ingest(log, ReadOptions())
    (source,) = home.landing.sources(FIRST)
    assets = ["session_logs", "trajectories", "quarantined_lines"]
    with monkeypatch.context() as patched:
        fail_reads_of(home.landing.path_of(source.source_id), patched)
        assert run_weeks_through_dagster(tmp_path, FIRST, far, assets=assets).success
    reasons = {table: home.store.failures(table) for table in assets}
    assert FIRST in reasons["session_logs"]
    assert "cannot be read (Input/output error)" in reasons["session_logs"][FIRST]
    assert all(far not in failed for failed in reasons.values())
    assert run_weeks_through_dagster(tmp_path, FIRST, far, assets=assets).success
    assert not any(home.store.failures(table) for table in assets)


@pytest.mark.parametrize("name", ["part-00000.parquet", "manifest.json", "CURRENT", "FAILED.json"])
def test_a_file_of_a_table_that_the_disk_cannot_read_is_named_and_mended_by_the_next_publication(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    generation = publish(store, words(0))
    folder = tmp_path / "words" / str(WEEK)
    path = folder / name if name in ("CURRENT", "FAILED.json") else folder / generation / name
    path.touch()
    with monkeypatch.context() as patched:
        fail_reads_of(path, patched)
        with pytest.raises(TableError, match=r"words 2026-W12: .*cannot be read"):
            store.read("words", WEEK)
        publish(store, words(0))
    assert store.read("words", WEEK).num_rows == 1000
