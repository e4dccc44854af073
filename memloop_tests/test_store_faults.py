"""Kill -9, a full disk, a read-only folder, many writers: no reader ever sees a torn table, and a re-run mends everything.

The writers are real processes; what they do stands in ``writers.py``.
"""

import errno
import random
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest

from memloop_assets.errors import BadInput, InputFailed
from memloop_assets.store import Store, hash_rows
from memloop_tests.writers import (
    WEEK,
    WORDS,
    generation_read,
    publish,
    publish_against_others,
    publish_and_die,
    publish_as_one_who_may_not_write,
    publish_for_ever,
    publish_on_a_full_disk,
    run_at_once,
    start,
    words,
)

KILL_COUNT = 100


OLD, NEW = words(0), words(1)
OLD_NAME, NEW_NAME = (hash_rows(WORDS.conform(table)) for table in (OLD, NEW))


def leftovers(root: Path) -> list[str]:
    """Return what is neither a whole generation nor a pointer: temporary files, and generations without rows or manifest."""
    found = [str(path) for path in root.rglob(".new-*")]
    generations = [path for path in root.glob("words/*/*") if path.is_dir()]
    whole = {"manifest.json", "part-00000.parquet"}
    return found + [str(path) for path in generations if {p.name for p in path.iterdir()} != whole]


class WatchingReader(threading.Thread):
    """Reads the week again and again until it is stopped, and counts what it saw."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.store = Store(root)
        self.seen: Counter[str] = Counter()
        self.faults: list[BaseException] = []
        self.is_stopped = threading.Event()

    def run(self) -> None:
        while not self.is_stopped.wait(0.001):  # a breath for the writers, who share two cores with it
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
        writer.join(drawn.uniform(0, 0.04))
        assert writer.is_alive()
        writer.kill()
        writer.join()
        torn_count += bool(leftovers(tmp_path))
        if number or store.is_readable("words", WEEK):
            assert generation_read(store) in (OLD_NAME, NEW_NAME)
        for table, name in ((OLD, OLD_NAME), (NEW, NEW_NAME)):
            assert publish(store, table) == generation_read(store) == name
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
    assert step > 8, "the steps on the disk are no longer those that this test counts"


@pytest.mark.parametrize("byte_count", [0, 100, 5_000])
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


def test_a_folder_that_may_not_be_written_is_read_and_refuses_with_a_plain_os_error(tmp_path: Path) -> None:
    publish(Store(tmp_path), OLD)
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    writer, pipe = start(publish_as_one_who_may_not_write, tmp_path)
    assert pipe.recv() == (errno.EACCES, OLD_NAME)
    writer.join()
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_writers_of_one_week_are_refused_or_heard_and_the_last_one_heard_is_whole(tmp_path: Path) -> None:
    names = {hash_rows(WORDS.conform(words(number))) for number in range(4)}
    reader = WatchingReader(tmp_path)
    reader.start()
    outcomes = run_at_once(publish_against_others, tmp_path, count=4)
    reader.stop()
    total: Counter[str] = sum(outcomes, Counter())
    assert total["published"] + total["refused"] == 4 * 25
    assert total["published"] > 0
    assert reader.faults == []
    assert set(reader.seen) <= names
    assert generation_read(Store(tmp_path)) in names
    assert leftovers(tmp_path) == []
