"""The store: content-addressed generations, publication after judgement, and readers that trust nothing on disk.

How a generation gets its name is tested in ``test_store_generations.py``, killed writers and full disks in ``test_store_faults.py``.
"""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from memloop_assets.errors import BadInput, ContractBroken, CorruptData, InputFailed, WriterConflict
from memloop_assets.store import Provenance, Publication, Store, Verdict, hash_rows, make_folder, write_atomically
from memloop_assets.weeks import IsoWeek
from memloop_tests.things import ROWS, SOME_ROWS, THINGS, Row, things

WEEK = IsoWeek(2026, 12)
SOURCE = Provenance({"logs 2026-W12": "f" * 32}, "1.2.3", "abc", 7)


def publish(store: Store, rows: list[Row], week: IsoWeek | None = WEEK, **others: object) -> Publication:
    return store.publish(THINGS, week, THINGS.table(rows), SOURCE, **others)  # type: ignore[arg-type]  # rules, where given


def files_under(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def generation_folder(store: Store) -> Path:
    return store.root / "things" / "2026-W12" / str(store.generation("things", WEEK))


# publishing and reading


@settings(max_examples=30)
@given(SOME_ROWS)
def test_what_was_published_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    published = publish(store, rows)
    found = store.read("things", WEEK)
    assert found.equals(things(rows))
    assert found.schema == THINGS.schema
    assert published.generation == hash_rows(found) == store.generation("things", WEEK)
    assert store.read("things", WEEK, ["text"]).column_names == ["text"]


def test_a_large_table_is_written_in_row_groups_and_read_back_whole(tmp_path: Path) -> None:
    rows = THINGS.table([]).schema
    ids = pa.array([f"{number:06d}" for number in range(70_000)], pa.large_string())
    table = pa.table([ids, *(pa.nulls(70_000, field.type) for field in list(rows)[1:])], schema=rows)
    store = Store(tmp_path)
    store.publish(THINGS, WEEK, table, SOURCE)
    assert pq.ParquetFile(generation_folder(store) / "part-00000.parquet").num_row_groups == 3
    assert store.read("things", WEEK)["thing_id"].equals(pa.chunked_array([ids]))


def test_the_manifest_tells_where_a_generation_comes_from(tmp_path: Path) -> None:
    store = Store(tmp_path)
    published = publish(store, ROWS)
    manifest = store.manifest("things", WEEK)
    digest = manifest["files"].pop("part-00000.parquet")
    assert len(digest) == 64
    assert manifest == {
        "table": "things",
        "week": "2026-W12",
        "generation": published.generation,
        "row_count": 3,
        "schema_hash": THINGS.hash,
        "files": {},
        "inputs": {"logs 2026-W12": "f" * 32},
        "code_version": "1.2.3",
        "config_hash": "abc",
        "seed": 7,
        "verdicts": [{"rule": "contract", "is_kept": True, "detail": "3 rows keep 6 columns"}],
    }
    assert store.input_of("things", WEEK) == {"things 2026-W12": published.generation}


def test_publishing_the_same_rows_again_gives_the_same_bytes_everywhere(tmp_path: Path) -> None:
    one, other = Store(tmp_path / "one"), Store(tmp_path / "other")
    publish(one, ROWS)
    publish(other, ROWS[::-1])
    publish(other, ROWS)
    assert files_under(one.root) == files_under(other.root)


def test_the_same_rows_from_other_inputs_renew_the_manifest_and_leave_the_rows_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, ROWS)
    part = generation_folder(store) / "part-00000.parquet"
    before = part.stat()
    store.publish(THINGS, WEEK, THINGS.table(ROWS), Provenance({"logs 2026-W12": "e" * 32}, seed=8))
    after = part.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert store.manifest("things", WEEK)["inputs"] == {"logs 2026-W12": "e" * 32}
    assert store.manifest("things", WEEK)["seed"] == 8


def test_an_earlier_generation_stays_readable_by_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = publish(store, ROWS).generation
    second = publish(store, ROWS[:1]).generation
    assert store.read("things", WEEK).num_rows == 1
    assert store.read("things", WEEK, generation=first).num_rows == 3
    assert store.read("things", WEEK, generation=second).num_rows == 1
    assert publish(store, ROWS).generation == first
    assert store.read("things", WEEK).num_rows == 3


def test_weeks_do_not_touch_each_other_and_an_unpartitioned_table_lies_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for week, count in ((IsoWeek(2026, 53), 1), (WEEK, 2), (None, 3), (IsoWeek(2027, 1), 0)):
        publish(store, ROWS[:count], week)
    assert [store.read("things", week).num_rows for week in (IsoWeek(2026, 53), WEEK, None, IsoWeek(2027, 1))] == [
        1,
        2,
        3,
        0,
    ]
    assert store.weeks("things") == [WEEK, IsoWeek(2026, 53), IsoWeek(2027, 1)]
    assert store.manifest("things", None)["week"] is None
    assert store.input_of("things", None) == {"things": hash_rows(things(ROWS))}
    assert store.weeks("nothing") == []


def test_the_folders_are_their_owners_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "data" / "tables")
    publish(store, ROWS)
    folders = [p for p in (tmp_path / "data").rglob("*") if p.is_dir()]
    assert {p.stat().st_mode & 0o777 for p in folders} == {0o700}


# refusals


def no_text(table: pa.Table) -> Verdict:
    count = table.num_rows - table["text"].null_count
    return Verdict("no text", count == 0, f"{count} texts")


def test_a_rule_that_is_kept_is_in_the_publication_and_the_manifest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    published = publish(store, ROWS[1:2], rules=[no_text])
    assert published.verdicts[1] == Verdict("no text", True, "0 texts")
    assert store.manifest("things", WEEK)["verdicts"][1] == {"rule": "no text", "is_kept": True, "detail": "0 texts"}


def test_a_broken_rule_publishes_nothing_and_leaves_the_week_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ContractBroken, match=r"things 2026-W12: no text: 2 texts. Fix: .*nothing was published"):
        publish(store, ROWS, rules=[no_text])
    assert files_under(tmp_path) == {}
    publish(store, ROWS[1:2], rules=[no_text])
    before = files_under(tmp_path)
    with pytest.raises(ContractBroken):
        publish(store, ROWS, rules=[no_text])
    assert files_under(tmp_path) == before


def test_a_broken_contract_publishes_nothing_and_tells_every_broken_rule(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ContractBroken, match="contract: share_ratio is not finite in 1 rows; no text: 2 texts"):
        publish(store, [*ROWS, {"thing_id": "d", "share_ratio": float("nan")}], rules=[no_text])
    with pytest.raises(ContractBroken, match="repeats in 1 rows"):
        publish(store, [ROWS[0], ROWS[0]])
    assert files_under(tmp_path) == {}


def test_a_week_that_was_never_written_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputFailed, match=r"things 2026-W12: it was never materialised. Fix: materialise things again"):
        Store(tmp_path).read("things", WEEK)
    assert not Store(tmp_path).is_readable("things", WEEK)


def test_a_failure_closes_the_week_to_readers_until_it_is_published_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = publish(store, ROWS).generation
    store.record_failure("things", WEEK, BadInput("log", "line 3", "mend it"))
    assert store.failure("things", WEEK) == "log: line 3. Fix: mend it"
    assert store.failures("things") == {WEEK: "log: line 3. Fix: mend it"}
    assert not store.is_readable("things", WEEK)
    for read in (store.read, store.manifest, store.input_of):
        with pytest.raises(InputFailed, match=r"its last attempt failed \(log: line 3"):
            read("things", WEEK)
    assert store.read("things", WEEK, generation=first).num_rows == 3
    publish(store, ROWS)
    assert store.failures("things") == {}
    assert store.failure("things", WEEK) is None
    assert store.read("things", WEEK).num_rows == 3


def test_a_chain_of_failed_weeks_tells_its_root_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.record_failure("things", WEEK, BadInput("log", "line 3", "mend it"))
    for name, above in (("pieces", "things"), ("crumbs", "pieces"), ("dust", "crumbs")):
        with pytest.raises(InputFailed) as caught:
            store.read(above, WEEK)
        store.record_failure(name, WEEK, caught.value)
    assert store.failure("dust", WEEK) == "log: line 3. Fix: mend it"
    with pytest.raises(InputFailed, match=r"^dust 2026-W12: its last attempt failed \(log: line 3. Fix: mend it\)"):
        store.read("dust", WEEK)


def test_a_week_that_only_ever_failed_has_a_failure_and_no_generation(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.record_failure("things", WEEK, BadInput("log", "line 3", "mend it"))
    assert (store.weeks("things"), list(store.failures("things"))) == ([], [WEEK])
    assert store.generation("things", WEEK) is None


# bytes that have changed


@pytest.mark.parametrize("change", ["flip", "cut", "empty", "remove", "folder"])
def test_altered_rows_are_never_returned(tmp_path: Path, change: str) -> None:
    store = Store(tmp_path)
    generation = publish(store, ROWS).generation
    part = generation_folder(store) / "part-00000.parquet"
    content = part.read_bytes()
    part.unlink()
    if change == "folder":
        part.mkdir()
    elif change != "remove":
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        part.write_bytes({"flip": flipped, "cut": content[:-1], "empty": b""}[change])
    for named in (None, generation):
        with pytest.raises(CorruptData, match=r"things 2026-W12: part-00000.parquet .*Fix: materialise things again"):
            store.read("things", WEEK, generation=named)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe", b'{"generation": 3, "files": {}}'])
def test_a_manifest_that_is_none_is_told_as_corrupt(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    publish(store, ROWS)
    (generation_folder(store) / "manifest.json").write_bytes(content)
    for read in (store.read, store.manifest, store.input_of):
        with pytest.raises(CorruptData, match="manifest"):
            read("things", WEEK)
    publish(store, ROWS)
    assert store.read("things", WEEK).num_rows == 3


def test_the_manifest_of_another_generation_is_not_believed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, ROWS[:1])
    other = (generation_folder(store) / "manifest.json").read_bytes()
    publish(store, ROWS)
    (generation_folder(store) / "manifest.json").write_bytes(other)
    with pytest.raises(CorruptData, match="its manifest is that of another generation"):
        store.read("things", WEEK)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"../../elsewhere", b"0" * 31, b"G" * 32])
def test_a_pointer_that_names_no_generation_is_told_as_corrupt(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    publish(store, ROWS)
    (tmp_path / "things" / "2026-W12" / "CURRENT").write_bytes(content)
    with pytest.raises(CorruptData, match="its pointer CURRENT names no generation"):
        store.read("things", WEEK)
    publish(store, ROWS)
    assert store.read("things", WEEK).num_rows == 3


def test_a_pointer_to_a_generation_that_is_gone_is_told_as_corrupt(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, ROWS)
    (tmp_path / "things" / "2026-W12" / "CURRENT").write_bytes(b"0" * 32)
    with pytest.raises(CorruptData, match="its manifest cannot be read"):
        store.read("things", WEEK)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff"])
def test_a_failure_record_that_cannot_be_read_still_closes_the_week(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    publish(store, ROWS)
    (tmp_path / "things" / "2026-W12" / "FAILED.json").write_bytes(content)
    with pytest.raises(InputFailed, match="its failure record cannot be read"):
        store.read("things", WEEK)


def test_altered_rows_are_healed_by_publishing_them_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, ROWS)
    before = files_under(tmp_path)
    (generation_folder(store) / "part-00000.parquet").write_bytes(b"PAR1")
    publish(store, ROWS)
    assert files_under(tmp_path) == before


# two writers


def test_a_second_process_that_writes_the_same_week_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = publish(store, ROWS).generation
    hold = (
        "import fcntl, sys; lock = open(sys.argv[1], 'w'); fcntl.flock(lock, fcntl.LOCK_EX); "
        "print('held', flush=True); sys.stdin.read()"
    )
    lock = tmp_path / "things" / "2026-W12" / ".lock"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(WriterConflict, match=r"things 2026-W12: another process is writing it. Fix: wait for"):
            publish(store, ROWS[:1])
        with pytest.raises(WriterConflict):
            store.record_failure("things", WEEK, BadInput("log", "line 3", "mend it"))
        publish(store, ROWS[:1], IsoWeek(2026, 13))
        assert store.generation("things", WEEK) == first
        assert store.is_readable("things", WEEK)
        other.kill()
    assert publish(store, ROWS[:1]).row_count == 1


def test_what_a_killed_writer_left_is_swept_by_the_next(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, ROWS)
    before = files_under(tmp_path)
    for folder in (generation_folder(store), tmp_path / "things" / "2026-W12"):
        (folder / ".new-part-00000.parquet-1-abcd").write_bytes(b"half")
    publish(store, ROWS)
    assert files_under(tmp_path) == before


# the two tools that other writers use


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "pointer.json"
    write_atomically(path, b"one")
    inode = path.stat().st_ino
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_ino != inode
    assert [p.name for p in tmp_path.iterdir()] == ["pointer.json"]
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder", b"three")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "pointer.json"]


def test_making_a_folder_makes_its_parents_and_is_content_with_one_that_is_there(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    (tmp_path / "file").write_text(json.dumps(1))
    with pytest.raises(OSError, match="file"):
        make_folder(tmp_path / "file" / "below")
