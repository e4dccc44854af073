"""The runs of ``memloop backfill``: one at a time per home, closed where their process was killed, resumed where they stopped.

A backfill holds a file locked while it lives; the kernel frees it however the process ends. So whoever holds the lock knows that every
unfinished run which an earlier backfill of this host started is dead. Runs of the UI are Dagster's own: they are never closed here.
"""

import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import dagster as dg

import memloop_assets
from memloop_assets.errors import TableError, WriterConflict
from memloop_assets.home import Home
from memloop_assets.orchestration.fault_reports import report_missing_weeks
from memloop_assets.orchestration.jobs import SERIAL_TAG
from memloop_assets.orchestration.run_tags import weeks_of_run
from memloop_assets.store import make_folder
from memloop_assets.weeks import IsoWeek, weeks_between

HOST_TAG, PROCESS_TAG = "memloop/host", "memloop/process"
FINGERPRINT_TAG, FINISHED_TAG = "memloop/fingerprint", "memloop/finished"
UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_LEFT_BY_DEAD = [dg.DagsterRunStatus.NOT_STARTED, *UNFINISHED]
_STOPPED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_KILLED = "Its process ended before the run did: it was killed, or the machine stopped."


@contextmanager
def sole_backfill(lock: Path, command: str = "backfill") -> Iterator[None]:
    """Hold the home's backfill lock for a command; raises WriterConflict where a backfill, or a forgetting, holds it."""
    make_folder(lock.parent)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise WriterConflict(
                command, f"another one is writing this home ({holder})", "wait for it to end, then run again"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def own_tags() -> dict[str, str]:
    """Return the tags by which a later backfill knows a run of this process."""
    return {HOST_TAG: socket.gethostname(), PROCESS_TAG: str(os.getpid())}


def close_dead_runs(instance: dg.DagsterInstance, home: Home) -> list[dg.DagsterRun]:
    """Mark every unfinished run of an earlier backfill of this host as failed and report its weeks; the caller holds the lock."""
    mine = dg.RunsFilter(tags={HOST_TAG: socket.gethostname()}, statuses=_LEFT_BY_DEAD)
    dead = list(instance.get_runs(mine))
    for run in dead:
        instance.report_run_failed(run, _KILLED)
        report_missing_weeks(home, run.run_id, run.tags, f"The run came to no end. {_KILLED}")
    return dead


def refuse_beside_other_runs(instance: dg.DagsterInstance) -> None:
    """Raise WriterConflict where a run that the UI or another host started is at the gate of this home."""
    found = instance.get_runs(dg.RunsFilter(tags=dict(SERIAL_TAG), statuses=UNFINISHED), limit=1)
    if found:
        where = found[0].tags.get(HOST_TAG, "the UI or its schedule")
        raise WriterConflict(
            "backfill",
            f"run {found[0].run_id[:8]} of {where} is writing this home",
            "wait for it to end, or terminate it on the UI's page of runs",
        )


def fingerprint(home: Home, job: str, first: IsoWeek, last: IsoWeek) -> str:
    """Return a hash of all that a backfill's results follow from: job, range, code, settings, logs, benchmark, other weeks, this week."""
    digest = hashlib.sha256()
    package = Path(memloop_assets.__file__).parent
    for path in (*sorted(package.rglob("*.py")), home.places.benchmark_suite):
        digest.update(hashlib.sha256(path.read_bytes()).digest() if path.exists() else b"none")
    logs = [
        asdict(source)
        for week in weeks_between(first.shift(-1), last.shift(1))
        for source in home.landing.sources(week)
    ]
    tables = sorted(path.name for path in home.store.root.iterdir()) if home.store.root.is_dir() else []
    outside = {
        f"{name} {week}": home.store.generation(name, week)
        for name in tables
        for week in home.store.weeks(name)
        if not first <= week <= last
    }
    facts = [job, str(first), str(last), home.settings.as_dict(), logs, outside, str(IsoWeek.of(home.now()))]
    digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def finished_before(
    instance: dg.DagsterInstance, home: Home, mark: str, weekly: Collection[str]
) -> tuple[str, frozenset[str]]:
    """Return the id of the stopped run to resume and the weekly tables that need no second run; none where it must start anew.

    It must be the newest run of all, with the same fingerprint, and every week of the tables that it finished must be whole.
    """
    newest = next(iter(instance.get_runs(limit=1)), None)
    if newest is None or newest.status not in _STOPPED or newest.tags.get(FINGERPRINT_TAG) != mark:
        return "", frozenset()
    events = instance.all_logs(newest.run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
    done = {str(event.step_key) for event in events} | set(_listed(newest.tags))
    finished = frozenset(done & set(weekly))
    if not finished or not all(_is_whole(home, name, week) for name in finished for week in weeks_of_run(newest.tags)):
        return "", frozenset()
    return newest.run_id, finished


def finished_tag(finished: Collection[str]) -> dict[str, str]:
    """Return the tag in which a resumed run hands on what was finished before it."""
    return {FINISHED_TAG: json.dumps(sorted(finished))} if finished else {}


def _listed(tags: Mapping[str, str]) -> list[str]:
    names: list[str] = json.loads(tags.get(FINISHED_TAG, "[]"))
    return names


def _is_whole(home: Home, name: str, week: IsoWeek) -> bool:
    try:
        home.store.read(name, week, ["week"])
    except TableError:
        return False
    return True
