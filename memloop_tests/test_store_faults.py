"""Kill -9, a full disk, a read-only folder, many writers: no reader ever sees a torn table, and a re-run mends everything.

The writers are real processes, forked from a server that has imported the store and started no threads.
"""

import errno
import multiprocessing
import os
import random
import resource
import signal
import threading
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa
import pytest

from memloop_assets.contracts import Column, TableContract
from memloop_assets.errors import BadInput, InputFailed, WriterConflict
from memloop_assets.store import Provenance, Store, hash_rows
from memloop_assets.weeks import IsoWeek

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["memloop_assets.store"])

WEEK = IsoWeek(2026, 12)
WORDS = TableContract(
    "words", "a word", ("word_id",), (Column("word_id", "string", "id"), Column("word", "string", "text"))
)
KILL_COUNT = 100


def words(number: int, row_count: int = 4000) -> pa.Table:
    """Return one of any number of tables that share no row and compress badly."""
    drawn = random.Random(number)  # noqa: S311  # drawn words, no secrets
    return WORDS.table({"word_id": f"{row:05d}", "word": f"{drawn.getrandbits(96):x}"} for row in range(row_count))


OLD, NEW = words(0), words(1)
OLD_NAME, NEW_NAME = (hash_rows(WORDS.conform(table)) for table in (OLD, NEW))


def publish(store: Store, table: pa.Table) -> str:
    return store.publish(WORDS, WEEK, table, Provenance()).generation


def generation_read(store: Store) -> str:
    """Read the week and return the name that its rows deserve, which no torn table would share."""
    return hash_rows(store.read("words", WEEK))


def leftovers(root: Path) -> list[str]:
    """Return what is neither a whole generation nor a pointer: temporary files, and generations without rows or manifest."""
    found = [str(path) for path in root.rglob(".new-*")]
    generations = [path for path in root.glob("words/*/*") if path.is_dir()]
    whole = {"manifest.json", "part-00000.parquet"}
    return found + [str(path) for path in generations if {p.name for p in path.iterdir()} != whole]


def start(target: Callable[..., None], *arguments: object) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    """Fork a process that runs the target with one end of a pipe and the arguments; return it and the other end."""
    here, there = FORKS.Pipe()
    process = FORKS.Process(target=target, args=(there, *arguments))
    process.start()
    there.close()
    return process, here


def publish_for_ever(pipe: Connection, root: Path) -> None:
    store, tables = Store(root), (words(0), words(1))
    pipe.send("ready")
    while True:
        for table in tables:
            publish(store, table)


def publish_and_die(pipe: Connection, root: Path, step: int) -> None:
    """Publish the new table and kill this very process at its n-th step on the disk: before the 1st, after it, before the 2nd …"""
    passed = 0

    def count() -> None:
        nonlocal passed
        passed += 1
        if passed == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def counting(*arguments: object, **options: object) -> object:
            count()
            result = call(*arguments, **options)
            count()
            return result

        return counting

    table = words(1)
    for name in ("mkdir", "fsync", "replace", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    publish(Store(root), table)
    pipe.send(passed)


class WatchingReader(threading.Thread):
    """Reads the week without a pause until it is stopped, and counts what it saw."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.store = Store(root)
        self.seen: Counter[str] = Counter()
        self.faults: list[BaseException] = []
        self.is_stopped = threading.Event()

    def run(self) -> None:
        while not self.is_stopped.is_set():
            try:
                self.seen[generation_read(self.store)] += 1
            except InputFailed as error:
                if self.seen:
                    self.faults.append(error)
            except Exception as error:  # noqa: BLE001  # whatever it is, the test must show it
                self.faults.append(error)

    def stop(self) -> None:
        self.is_stopped.set()
        self.join()


def test_a_hundred_kills_at_random_moments_never_show_a_torn_table(tmp_path: Path) -> None:
    store, drawn, torn_count = Store(tmp_path), random.Random(2026), 0  # noqa: S311  # moments, no secrets
    reader = WatchingReader(tmp_path)
    reader.start()
    for number in range(KILL_COUNT):
        writer, pipe = start(publish_for_ever, tmp_path)
        pipe.recv()
        writer.join(drawn.uniform(0, 0.06))
        assert writer.is_alive()
        writer.kill()
        writer.join()
        torn_count += bool(leftovers(tmp_path))
        if number or store.is_readable("words", WEEK):
            assert generation_read(store) in (OLD_NAME, NEW_NAME)
        again = [(OLD, OLD_NAME), (NEW, NEW_NAME)]
        drawn.shuffle(again)
        assert [publish(store, table) for table, _name in again] == [name for _table, name in again]
        assert generation_read(store) == again[-1][1]
        assert leftovers(tmp_path) == []
    reader.stop()
    assert reader.faults == []
    assert set(reader.seen) == {OLD_NAME, NEW_NAME}
    assert torn_count > 0, "no kill struck in the middle of a write: the test showed nothing"


@pytest.mark.parametrize("before", ["nothing", "another generation", "a failure", "the same generation"])
def test_a_kill_at_any_step_leaves_the_old_table_or_the_new_one(tmp_path: Path, before: str) -> None:
    step, is_finished = 0, False
    while not is_finished:
        step += 1
        store = Store(tmp_path / str(step))
        if before != "nothing":
            publish(store, NEW if before == "the same generation" else OLD)
        if before == "a failure":
            store.record_failure("words", WEEK, BadInput("log", "line 3", "mend it"))
        writer, pipe = start(publish_and_die, store.root, step)
        writer.join()
        is_finished = writer.exitcode == 0
        assert is_finished or writer.exitcode == -signal.SIGKILL
        if store.is_readable("words", WEEK):
            assert generation_read(store) in ({NEW_NAME} if before == "nothing" else {OLD_NAME, NEW_NAME})
        else:
            assert before in ("nothing", "a failure")
            with pytest.raises(InputFailed):
                generation_read(store)
        assert publish(store, NEW) == generation_read(store) == NEW_NAME
        assert leftovers(store.root) == []
    assert pipe.recv() == step - 1
    assert step > 20, "the steps on the disk are no longer those that this test counts"


def publish_on_a_full_disk(pipe: Connection, root: Path, byte_count: int) -> None:
    table = words(1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (byte_count, byte_count))
    try:
        publish(Store(root), table)
    except OSError as error:
        pipe.send(error.errno)


@pytest.mark.parametrize("byte_count", [0, 100, 20_000])
def test_a_disk_that_is_full_leaves_the_old_generation_and_no_half_written_file(
    tmp_path: Path, byte_count: int
) -> None:
    store = Store(tmp_path)
    publish(store, OLD)
    writer, pipe = start(publish_on_a_full_disk, tmp_path, byte_count)
    assert pipe.recv() == errno.EFBIG
    writer.join()
    assert generation_read(store) == OLD_NAME
    assert list(tmp_path.rglob(".new-*")) == []
    assert publish(store, NEW) == generation_read(store) == NEW_NAME


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


def test_a_folder_that_may_not_be_written_is_read_and_refuses_with_a_plain_os_error(tmp_path: Path) -> None:
    publish(Store(tmp_path), OLD)
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    writer, pipe = start(publish_as_one_who_may_not_write, tmp_path)
    assert pipe.recv() == (errno.EACCES, OLD_NAME)
    writer.join()
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


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


def test_writers_of_one_week_are_refused_or_heard_and_the_last_one_heard_is_whole(tmp_path: Path) -> None:
    names = {hash_rows(WORDS.conform(words(number))) for number in range(4)}
    reader = WatchingReader(tmp_path)
    reader.start()
    writers = [start(publish_against_others, tmp_path, number) for number in range(4)]
    for _process, pipe in writers:
        pipe.recv()
    for _process, pipe in writers:
        pipe.send("go")
    outcomes = [pipe.recv() for _process, pipe in writers]
    for process, _pipe in writers:
        process.join()
    reader.stop()
    total = sum(outcomes, Counter())
    assert total["published"] + total["refused"] == 4 * 25
    assert total["published"] > 0
    assert reader.faults == []
    assert set(reader.seen) <= names
    assert generation_read(Store(tmp_path)) in names
    assert leftovers(tmp_path) == []
