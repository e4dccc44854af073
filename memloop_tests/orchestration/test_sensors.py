"""The sensor ``new_log_lines``: exactly the weeks of new bytes, a few at a time, asked again where their run failed; never the gate."""

import os
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from memloop_assets.definitions import defs
from memloop_assets.orchestration.sensors import new_log_lines
from memloop_assets.state import LOG_FILES
from memloop_assets.trajectories.log_index import reading_of
from memloop_assets.trajectories.sources import ReadOptions
from memloop_assets.trajectories.watching import land_changes
from memloop_assets.weeks import IsoWeek
from memloop_tests.scenario import (
    FIRST,
    Line,
    attempt,
    open_at,
    run_weeks_through_dagster,
    tick_sensor,
    write_log,
    write_settings,
)


class Watch:
    """A home with logs, a Dagster instance, and the sensor ticking."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.folder = folder
        self.instance = dg.DagsterInstance.ephemeral()
        write_settings(folder, settings)

    def log(self, name: str, weeks: Sequence[IsoWeek], number: int = 0) -> Path:
        lines: list[Line] = []
        for week in weeks:
            lines += attempt(week.start + timedelta(hours=9, minutes=number), number, f"Request {number} of {week}")
        return write_log(self.folder / "logs" / name, lines)

    def tick(self) -> tuple[list[dg.RunRequest], str]:
        return tick_sensor(self.folder, self.instance)

    def weeks(self) -> list[str]:
        return [request.tags["memloop/week"] for request in self.tick()[0]]

    def run(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
        """Record a run as the daemon starts it for a request, ended with a status."""
        tags = {**request.tags, "dagster/run_key": str(request.run_key)}
        self.instance.create_run_for_job(defs.resolve_job_def("datasets"), tags=tags, status=status)


def weeks_from(first: IsoWeek, count: int) -> list[IsoWeek]:
    return [first.shift(number) for number in range(count)]


def test_new_lines_ask_for_their_weeks_once_they_are_in_the_tables_for_none_and_an_append_for_its_own(
    tmp_path: Path,
) -> None:
    watch = Watch(tmp_path)
    path = watch.log("session.jsonl", weeks_from(FIRST, 3))
    requests, _ = watch.tick()
    assert [request.partition_key for request in requests] == [week.key for week in weeks_from(FIRST, 3)]
    for request in requests:
        watch.run(request, dg.DagsterRunStatus.SUCCESS)
    assert watch.weeks() == []
    path.write_bytes(path.read_bytes() + watch.log("more.log", [FIRST.shift(1)], 1).read_bytes())  # late lines
    assert watch.weeks() == [str(FIRST.shift(1))]


def test_a_touch_a_rename_and_a_copy_ask_for_nothing(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    path = watch.log("session.jsonl", [FIRST])
    watch.run(watch.tick()[0][0], dg.DagsterRunStatus.SUCCESS)
    os.utime(path)
    assert watch.weeks() == []
    renamed = path.rename(path.with_name("session.jsonl.1"))
    path.write_bytes(renamed.read_bytes()[:60])
    assert watch.weeks() == []


def test_weeks_that_a_backfill_has_built_from_these_lines_are_not_asked_for(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    home = open_at(tmp_path)
    home.landing.ingest(watch.log("session.jsonl", weeks_from(FIRST, 2)), ReadOptions())
    assert run_weeks_through_dagster(tmp_path, FIRST, assets=["session_logs"]).success
    assert watch.weeks() == [str(FIRST.shift(1))]


def test_it_asks_for_five_weeks_a_tick_oldest_first_and_for_the_others_on_the_next(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.log("session.jsonl", weeks_from(FIRST, 7))
    first, _ = watch.tick()
    for request in first:
        watch.run(request, dg.DagsterRunStatus.STARTED)
    assert [request.tags["memloop/week"] for request in first] == [str(week) for week in weeks_from(FIRST, 5)]
    assert watch.weeks() == [str(week) for week in weeks_from(FIRST.shift(5), 2)]


def test_a_request_whose_run_was_never_started_is_repeated_under_the_same_key(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.log("session.jsonl", [FIRST])
    keys = [[request.run_key for request in watch.tick()[0]] for _ in range(2)]
    assert keys[0] == keys[1] != []


def test_a_week_whose_run_failed_is_asked_for_again_three_times_at_most_and_anew_with_new_lines(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    path = watch.log("session.jsonl", [FIRST])
    keys = set()
    for _ in range(3):
        (request,), _ = watch.tick()
        keys.add(request.run_key)
        watch.run(request, dg.DagsterRunStatus.FAILURE)
    requests, said = watch.tick()
    assert (len(keys), requests) == (3, [])
    assert f"{FIRST} failed three times, mend and `memloop backfill`" in said
    path.write_bytes(path.read_bytes() + watch.log("more.log", [FIRST], 1).read_bytes())
    assert watch.weeks() == [str(FIRST)]


def test_weeks_before_the_first_one_are_kept_and_named_and_never_asked_for(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.log("session.jsonl", [FIRST.shift(-3)])
    requests, said = watch.tick()
    assert not requests
    assert f"{FIRST.shift(-3)} not offered: kept; the first week is {FIRST}" in said
    assert open_at(tmp_path).landing.weeks() == [FIRST.shift(-3)]


def test_a_folder_that_is_not_there_and_a_file_that_cannot_be_read_are_told_and_the_others_read(tmp_path: Path) -> None:
    watch = Watch(tmp_path, '[logs]\nfolders = ["nowhere", "logs"]\n')
    watch.log("session.jsonl", [FIRST])
    (tmp_path / "logs" / "half.jsonl.gz").write_bytes(b"\x1f\x8b\x08 and no more")
    (request,), _ = watch.tick()
    watch.run(request, dg.DagsterRunStatus.SUCCESS)
    _, said = watch.tick()
    assert f"folder {tmp_path / 'nowhere'} is not there" in said
    assert "half.jsonl.gz: " in said


def test_a_tick_lands_so_many_files_and_the_next_goes_on(tmp_path: Path) -> None:
    watch = Watch(tmp_path, "[sensor]\nfiles_per_tick = 2\n")
    for number in range(3):
        watch.log(f"s{number}.jsonl", [FIRST.shift(number)])
    assert watch.weeks() == [str(FIRST), str(FIRST.shift(1))]
    assert str(FIRST.shift(2)) in watch.weeks()


def test_a_file_that_was_ingested_in_another_format_is_left_alone(tmp_path: Path) -> None:
    home = Watch(tmp_path).folder
    path = write_log(home / "logs" / "runs.json", [])
    path.write_text('[{"task_id": 1, "reward": 1.0, "traj": []}]')
    landing = open_at(home).landing
    landing.ingest(path, ReadOptions("tau-bench", arm="a", start_week=FIRST))
    assert not land_changes(landing, [path.parent], ReadOptions(), file_limit=9, byte_limit=9).reports


def test_the_sensor_waits_to_be_switched_on_and_never_asks_for_the_gate() -> None:
    assert new_log_lines.default_status == dg.DefaultSensorStatus.STOPPED
    assert new_log_lines.job_name == "datasets"


def test_a_tick_over_ten_thousand_files_reads_none_of_them(tmp_path: Path) -> None:
    home, folder, reading = open_at(tmp_path), tmp_path / "logs", reading_of(ReadOptions())
    folder.mkdir()
    rows = []
    for number in range(10_000):
        path = folder / f"s{number}.jsonl"
        path.write_bytes(b"{}\n")
        stat = path.stat()
        facts = {"byte_count": 3, "modified_ns": stat.st_mtime_ns, "inode": stat.st_ino, "source_id": "s"}
        rows.append({"path": str(path), "reading": reading, **facts})
    with home.state.transaction() as connection:
        connection.execute(sa.insert(LOG_FILES), rows[1:])
    began = time.perf_counter()
    watched = land_changes(home.landing, [folder], ReadOptions(), file_limit=9, byte_limit=1 << 30)
    print(f"a look at 10,000 files: {time.perf_counter() - began:.3f} s")  # measured, not judged
    assert (watched.file_count, [report.path.name for report in watched.reports]) == (10_000, ["s0.jsonl"])
