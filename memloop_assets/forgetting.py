"""Forgetting a person: their landing lines, and the rows of every generation of every weekly table that are or may be theirs.

In this order, so that whatever kills it, running it again finishes and nothing is claimed before it is true:

1. the event *begun*: from here on none of their lines is landed again;
2. while no ingest runs, their lines are noted, with what ties lines without a user id to them, then blanked in the landing copies, and the
   log index is written anew;
3. the ids of their rows are collected from every generation on disk and noted; then a current generation is published again without these
   rows, and every other that holds one is erased; so is every prior that was made of rows of their weeks;
4. the event *finished*, with counts, and the notes are dropped.

A row that only may be theirs goes too: the backfill that these weeks need anyway brings back what was not.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from memloop_assets.benchmarks.versions import saved_suites
from memloop_assets.contracts import TableContract
from memloop_assets.datasets.owned_rows import TABLES_OF_PEOPLE, OwnedRows, read_columns
from memloop_assets.datasets.tables import TEACHING_TABLES
from memloop_assets.errors import BadInput, ContractBroken, TableError, WriterConflict
from memloop_assets.home import Home
from memloop_assets.routing.prior_files import erase_prior, find_priors
from memloop_assets.routing.tables import ROUTER_CHECKPOINT
from memloop_assets.store import Provenance
from memloop_assets.tasks import task_key
from memloop_assets.trajectories.ownership import Hasher, OwnedLine, normal_user
from memloop_assets.trajectories.tables import TRAJECTORIES
from memloop_assets.weeks import IsoWeek

_COLLECTED = (TRAJECTORIES, *TEACHING_TABLES)


@dataclass
class Found:
    """What is to go, or has gone: lines, rows of current generations and generations of each table, and what forgetting cannot reach.

    ``state`` is ``unknown`` where nothing is theirs, ``forgotten`` where nothing is theirs any more, else ``found``. ``row_count`` counts
    rows of all generations, ``row_counts`` those of current ones.
    """

    state: str
    lines: list[OwnedLine] = field(default_factory=list)
    row_counts: Counter[str] = field(default_factory=Counter)
    generation_counts: Counter[str] = field(default_factory=Counter)
    weeks: set[IsoWeek] = field(default_factory=set)
    row_count: int = 0
    benchmark_task_count: int = 0
    path_count: int = 0
    prior_count: int = 0

    @property
    def counts(self) -> dict[str, Any]:
        """Return the numbers that the event keeps."""
        return {
            "lines": len(self.lines),
            "sources": len({line.source_id for line in self.lines}),
            "rows": dict(sorted(self.row_counts.items())),
            "generations": dict(sorted(self.generation_counts.items())),
        }


def find_person(home: Home, user: str) -> Found:
    """Tell what forgetting a person would remove; changes nothing.

    Raises BadInput for an empty id, CorruptData where a landing copy is gone.
    """
    if not normal_user(user):
        raise BadInput("--user", "the id is empty", "give the user id as the logs have it")
    index = home.landing.forgotten
    hashed = index.hasher()
    user_hash = hashed("user", user)
    lines, _ = home.landing.find_owned(hashed, user_hash)
    unique = {(line.source_id, line.line_number): line for line in (*index.noted_lines(user_hash), *lines)}
    found = Found("", list(unique.values()))
    _sweep(home, _owned_rows(home, hashed, user_hash, found.lines), found, is_rehearsal=True)
    has_any = found.lines or found.row_count
    known = user_hash in index.users()
    found.state = "found" if has_any or user_hash in index.unfinished() else "forgotten" if known else "unknown"
    named = re.compile(rf"(?<!\w){re.escape(normal_user(user))}(?!\w)", re.IGNORECASE)
    found.path_count = sum(named.search(path) is not None for path in home.landing.index.file_paths())
    return found


def forget_person(home: Home, user: str, settle: Callable[[], bool]) -> Found:
    """Remove a person and write that it was done; a person of whom nothing is found is not written down.

    ``settle`` tells whether other runs have written since it was last asked, in which case the tables are looked at once more; it raises
    WriterConflict while one does. Raises as ``find_person`` does.
    """
    home.landing.forgotten.make_key()
    found = find_person(home, user)
    if found.state != "found":
        return found
    index = home.landing.forgotten
    hashed = index.hasher()
    user_hash = hashed("user", user)
    index.begin(user_hash, found.counts, home.now())
    found.lines = home.landing.forget(hashed, user_hash)
    found.row_counts.clear()
    found.generation_counts.clear()
    found.prior_count = 0
    owned = _owned_rows(home, hashed, user_hash, found.lines)
    _sweep(home, owned, found, is_rehearsal=False)
    while settle():
        _sweep(home, owned, found, is_rehearsal=False)
    index.finish(user_hash, found.counts, home.now())
    return found


def _owned_rows(home: Home, hashed: Hasher, user_hash: str, lines: list[OwnedLine]) -> OwnedRows:
    index = home.landing.forgotten
    streams = {known.source_id: known.stream for known, _ in home.landing.index.landed()}
    owned = OwnedRows(hashed, user_hash, lines, streams)
    owned.trajectory_ids |= index.notes(user_hash, "trajectory")
    owned.examples |= index.notes(user_hash, "example")
    return owned


def _sweep(home: Home, owned: OwnedRows, found: Found, *, is_rehearsal: bool) -> None:
    """Collect the ids of their rows from every generation, then take these rows out of every generation; a rehearsal only counts."""
    for contract in _COLLECTED:
        for week, generation in home.store.generations(contract.name):
            rows = _read(home, contract, week, generation)
            if rows is not None:
                owned.collect(contract.name, week, rows)
        if not is_rehearsal:
            index = home.landing.forgotten
            index.note(owned.user_hash, "trajectory", owned.trajectory_ids)
            index.note(owned.user_hash, "example", owned.examples)
    for contract in TABLES_OF_PEOPLE:
        for week, generation in home.store.generations(contract.name):
            _sweep_generation(home, owned, found, (contract, week, generation), is_rehearsal=is_rehearsal)
    _sweep_priors(home, owned, found, is_rehearsal=is_rehearsal)
    found.benchmark_task_count = _benchmark_task_count(home, owned.task_keys)


def _sweep_priors(home: Home, owned: OwnedRows, found: Found, *, is_rehearsal: bool) -> None:
    """Erase the priors made of samples of weeks in which some are theirs; the weeks whose routers rest on one are to be built again.

    Whose rows a prior was made of cannot be told from it. What was not theirs comes back with the backfill, from rows that are there.
    """
    root = home.places.router_priors
    theirs = find_priors(root, owned.sample_weeks().union(*(line.weeks for line in found.lines)))
    found.prior_count += len(theirs)
    for week in home.store.weeks(ROUTER_CHECKPOINT.name):
        generation = str(home.store.generation(ROUTER_CHECKPOINT.name, week))
        rows = _read(home, ROUTER_CHECKPOINT, week, generation, ["prior_version"])
        if rows is not None and set(theirs).intersection(rows["prior_version"].to_pylist()):
            found.weeks.add(week)
    if not is_rehearsal:
        for version in theirs:
            erase_prior(root, version)


def _sweep_generation(
    home: Home, owned: OwnedRows, found: Found, of: tuple[TableContract, IsoWeek, str], *, is_rehearsal: bool
) -> None:
    contract, week, generation = of
    rows = _read(home, contract, week, generation)
    mask = None if rows is None else owned.mask(contract.name, week, rows)
    if mask is not None and not any(mask):
        return
    is_current = home.store.generation(contract.name, week) == generation
    found.generation_counts[contract.name] += 1
    found.row_count += sum(mask or ())
    found.row_counts[contract.name] += sum(mask or ()) if is_current else 0
    found.weeks |= {week} if is_current else set()
    if is_rehearsal:
        return
    if is_current and mask is not None and home.store.failure(contract.name, week) is None:
        _publish_without(home, contract, week, mask)
    home.store.erase(contract.name, week, generation)


def _publish_without(home: Home, contract: TableContract, week: IsoWeek, mask: list[bool]) -> None:
    """Publish a week again without some rows, under what it was built from: its inputs have moved on, so status asks for its backfill."""
    manifest = home.store.manifest(contract.name, week)
    kept = home.store.read(contract.name, week).filter(pa.array([not is_own for is_own in mask], pa.bool_()))
    names = ("inputs", "code_version", "config_hash", "seed")
    try:
        home.store.publish(contract, week, kept, Provenance(*(manifest[name] for name in names)))
    except ContractBroken:
        return  # a table of an earlier contract: without a current generation its week is built anew


def _read(
    home: Home, contract: TableContract, week: IsoWeek, generation: str, columns: Sequence[str] = ()
) -> pa.Table | None:
    """Return columns of a generation (those that tell whose its rows are); None where it cannot be read, so that nothing tells."""
    columns = columns or read_columns(contract.name)
    try:
        rows = home.store.read(contract.name, week, columns, generation)
    except WriterConflict:
        raise
    except (TableError, pa.ArrowException):
        return None
    return rows if set(columns) <= set(rows.column_names) else None


def _benchmark_task_count(home: Home, task_keys: set[str]) -> int:
    """Count the tasks of the benchmark, in any version that is kept, that they asked too."""
    suites = saved_suites(home.places.benchmark_suite)
    return len(task_keys.intersection(task_key(task.prompt) for suite in suites for task in suite.tasks))


def forget_lines(found: Found, *, is_rehearsal: bool) -> Iterator[str]:
    """Yield what goes or has gone, as lines of text for people; the person is not named."""
    if found.state == "unknown":
        yield "nothing of this user id was found: no landed line and no row. Nothing was changed"
        return
    if found.state == "forgotten":
        yield "this user id was forgotten before, and nothing of it is left"
        return
    verb = "would remove" if is_rehearsal else "removed"
    counts = found.counts
    yield f"{verb} {counts['lines']:,} landed lines in {counts['sources']:,} files"
    shared = sum(line.is_shared for line in found.lines)
    if shared:
        yield f"  {shared:,} of them also hold events of others, which go with them"
    for name, generations in found.generation_counts.items():
        yield f"  {name:<20} {found.row_counts[name]:,} current rows, {generations:,} generations"
    if found.prior_count:
        yield f"  {found.prior_count:,} priors of routers, made of rows of weeks with rows of theirs"
    if found.weeks and not is_rehearsal:
        yield f"next: memloop backfill {min(found.weeks)}..{max(found.weeks)}, then what memloop status names as stale"
    if found.benchmark_task_count:
        yield (
            f"note: {found.benchmark_task_count:,} tasks of kept benchmarks are tasks that they asked too: build or import these anew, "
            "and remove the old versions"
        )
    if found.path_count:
        yield f"note: {found.path_count:,} paths of log files hold the id, and the log index keeps them"
    yield "not reached: the agent's own logs, files already exported, backups, routers trained before"
