"""Writing processes: what they do in tests of kills, full disks and races, and how a test starts one.

Apart from the tests so that a process starts in milliseconds: it is forked from a server that has imported this module, nothing of pytest,
and that has started no threads. Each function gets its end of a pipe and its arguments.
"""

import multiprocessing
import os
import random
import resource
import signal
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from memloop_assets.contracts import Column, TableContract
from memloop_assets.errors import LedgerConflict, WriterConflict
from memloop_assets.routing.versions import Ledger
from memloop_assets.state import LOG_SPANS, State
from memloop_assets.store import Provenance, Store, hash_rows
from memloop_assets.weeks import IsoWeek

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pandas", "memloop_tests.writers"])  # pyarrow loads pandas with its first array

WEEK = IsoWeek(2026, 12)
WORDS = TableContract(
    "words", "a word", ("word_id",), (Column("word_id", "string", "id"), Column("word", "string", "text"))
)


def words(number: int, row_count: int = 1000) -> pa.Table:
    """Return one of any number of tables that share no row and compress badly."""
    drawn = random.Random(number)  # noqa: S311  # drawn words, no secrets
    return WORDS.table({"word_id": f"{row:05d}", "word": f"{drawn.getrandbits(96):x}"} for row in range(row_count))


def start(target: Callable[..., None], *arguments: object) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    """Fork a process that runs the target with one end of a pipe and the arguments; return it and the other end."""
    here, there = FORKS.Pipe()
    process = FORKS.Process(target=target, args=(there, *arguments))
    process.start()
    there.close()
    return process, here


def run_at_once(target: Callable[..., None], *arguments: object, count: int) -> list[Any]:
    """Start that many processes, each with its number as the last argument, let them go together, and return what each sent.

    The target sends "ready", waits for a word, does its work and sends one result.
    """
    started = [start(target, *arguments, number) for number in range(count)]
    for _process, pipe in started:
        pipe.recv()
    for _process, pipe in started:
        pipe.send("go")
    results = [pipe.recv() for _process, pipe in started]
    for process, _pipe in started:
        process.join()
    return results


def publish(store: Store, table: pa.Table) -> str:
    return store.publish(WORDS, WEEK, table, Provenance()).generation


def generation_read(store: Store) -> str:
    """Read the week and return the name that its rows deserve, which no torn table would share."""
    return hash_rows(store.read("words", WEEK))


def publish_for_ever(pipe: Connection, root: Path) -> None:
    store, tables = Store(root), (words(0), words(1))
    pipe.send("ready")
    while True:
        for table in tables:
            publish(store, table)


def publish_and_die(pipe: Connection, root: Path, step: int) -> None:
    """Publish the new table and kill this very process just before its n-th step on the disk; tell the number of steps if it lives."""
    passed = 0

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def counting(*arguments: object, **options: object) -> object:
            nonlocal passed
            passed += 1
            if passed == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return counting

    table = words(1)
    for name in ("mkdir", "fsync", "replace", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    publish(Store(root), table)
    pipe.send(passed)


def publish_on_a_full_disk(pipe: Connection, root: Path, byte_count: int) -> None:
    table = words(1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (byte_count, byte_count))
    try:
        publish(Store(root), table)
    except OSError as error:
        pipe.send(error.errno)


def publish_as_one_who_may_not_write(pipe: Connection, root: Path) -> None:
    table = words(1)
    os.chdir(root)
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    store = Store(Path())
    try:
        publish(store, table)
    except OSError as error:
        pipe.send((error.errno, generation_read(store)))


def publish_against_others(pipe: Connection, root: Path, number: int) -> None:
    store, table, outcomes = Store(root), words(number), Counter[str]()
    pipe.send("ready")
    pipe.recv()
    for _round in range(25):
        try:
            publish(store, table)
            outcomes["published"] += 1
        except WriterConflict:
            outcomes["refused"] += 1
    pipe.send(outcomes)


def open_homes_and_append(pipe: Connection, databases: list[Path], number: int) -> None:
    spans = sa.insert(LOG_SPANS).values(
        source_id=f"s{number}", week=str(WEEK), start_offset=0, end_offset=9, start_line=1, line_count=1
    )
    pipe.send("ready")
    pipe.recv()
    for database in databases:
        state = State(database)
        with state.transaction() as connection:
            connection.execute(spans)
        state.close()
    pipe.send("appended")


def decide_weeks(pipe: Connection, database: Path, weeks: list[str], number: int) -> None:
    """Try to decide every week, each process in its own order and each for its own challenger; send the weeks that it won."""
    ledger, won = Ledger(State(database)), []
    order = random.Random(number).sample(weeks, len(weeks))  # noqa: S311  # an order, no secret
    pipe.send("ready")
    pipe.recv()
    for text in order:
        week = IsoWeek.parse(text)
        while ledger.decision_of(week) is None:
            champion, challenger = ledger.champion_as_of(week), f"challenger-{number}-{text}"
            try:
                ledger.append_decision(
                    week,
                    "promote",
                    from_version=champion,
                    to_version=challenger,
                    evidence_hash="0" * 64,
                    numbers={"process": number},
                    reason="it raced",
                    now=datetime(2026, 6, 1, tzinfo=UTC),
                )
                won.append(text)
            except LedgerConflict:
                continue
    pipe.send(won)
