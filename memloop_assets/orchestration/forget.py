"""Forgetting a person beside Dagster's runs: what ``memloop forget`` starts as a subprocess.

Run as ``python -m memloop_assets.orchestration.forget`` with the user id on standard input (a command line is seen by everybody on the
machine), and with DAGSTER_HOME and MEMLOOP_HOME set. Exit status 0 when the person is forgotten, 1 when nothing was found or it failed.
"""

import sys
import warnings
from collections.abc import Callable

import dagster as dg

from memloop_assets.errors import MemloopError, WriterConflict
from memloop_assets.forgetting import Found, forget_lines, forget_person
from memloop_assets.orchestration.own_runs import UNFINISHED, close_dead_runs, sole_backfill
from memloop_assets.orchestration.resources import MemloopHome

_NEWEST = 200  # runs: no more begin or end within one forgetting


def forget(user: str) -> Found:
    """Forget a person while no run writes; raises WriterConflict beside a run, and what ``forget_person`` raises."""
    home = MemloopHome().open()
    with sole_backfill(home.places.backfill_lock, "forget"), dg.DagsterInstance.get() as instance:
        close_dead_runs(instance, home)
        refuse_beside_any_run(instance)
        return forget_person(home, user, runs_since(instance))


def refuse_beside_any_run(instance: dg.DagsterInstance) -> None:
    """Raise WriterConflict where any run of this home is going on: it may have read lines that are about to go."""
    found = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED), limit=1)
    if found:
        raise WriterConflict(
            "forget",
            f"run {found[0].run_id[:8]} is writing this home",
            "wait for it to end, or terminate it on the UI's page of runs; then run forget again",
        )


def runs_since(instance: dg.DagsterInstance) -> Callable[[], bool]:
    """Return what tells whether any run began or ended since it was asked last (first: since now); it raises while one goes on."""

    def newest() -> set[tuple[str, str]]:
        return {(run.run_id, run.status.value) for run in instance.get_runs(limit=_NEWEST)}

    known = newest()

    def has_run() -> bool:
        nonlocal known
        refuse_beside_any_run(instance)
        before, known = known, newest()
        return known != before

    return has_run


def main() -> int:
    """Forget the person named on standard input."""
    try:
        found = forget(sys.stdin.readline().rstrip("\n"))
    except MemloopError as error:
        print(f"memloop: {error}", file=sys.stderr)
        return 1
    print(*forget_lines(found, is_rehearsal=False), sep="\n")
    return 1 if found.state == "unknown" else 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
