"""The store: weekly tables as immutable, content-addressed generations, published atomically.

Layout: ``tables/<table>/<week>/<generation>/part-00000.parquet`` and ``manifest.json`` beside it, and in the week's folder the pointer
``CURRENT`` (or ``FAILED.json`` where the week's last attempt ended in an error). An unpartitioned table lies under ``all``.

A generation is the hash of the canonical rows alone: no clock, run id or file name goes into it, so the same inputs give the same
name. Every step is made durable before the next, the pointer moves last, and readers verify what they read. This is the only module
that writes under ``tables``; what the rows mean is the rooms' business.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from memloop_assets.contracts import TableContract
from memloop_assets.errors import ContractBroken, CorruptData, InputFailed, MemloopError, WriterConflict
from memloop_assets.weeks import IsoWeek

ROW_GROUP_ROWS = 32_768
MISSING = "missing"
"""What a manifest records for an input that was not there."""
_PART = "part-00000.parquet"
_MANIFEST = "manifest.json"
_POINTER = "CURRENT"
_FAILED = "FAILED.json"
_LOCK = ".lock"
_GENERATION = re.compile(rb"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule said of a table before it was published."""

    rule: str
    is_kept: bool
    detail: str


Rule = Callable[[pa.Table], Verdict]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a generation comes from: its inputs' generations, the code's version, a hash of the settings, the seed."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    code_version: str = ""
    config_hash: str = ""
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """One published generation of one week of one table."""

    table: str
    week: IsoWeek | None
    generation: str
    row_count: int
    verdicts: tuple[Verdict, ...]


class Store:
    """Reads and writes the tables under one root folder."""

    def __init__(self, root: Path) -> None:
        """Keep the root; it is made with the first publication."""
        self.root = root

    def publish(
        self,
        contract: TableContract,
        week: IsoWeek | None,
        table: pa.Table,
        provenance: Provenance,
        rules: Sequence[Rule] = (),
    ) -> Publication:
        """Write a generation and point the week at it, once the contract and every rule are kept.

        Raises ContractBroken (nothing is published), WriterConflict (another writer has this week), and OSError from the disk.
        """
        table = contract.conform(table)
        verdicts = _judge(contract, table, rules)
        broken = [v for v in verdicts if not v.is_kept]
        if broken:
            raise ContractBroken(
                _label(contract.name, week),
                "; ".join(f"{v.rule}: {v.detail}" for v in broken),
                "mend the rows; nothing was published",
            )
        generation = hash_rows(table)
        folder = self._folder(contract.name, week)
        make_folder(folder)
        with _sole_writer(folder, _label(contract.name, week)):
            target = folder / generation
            make_folder(target)
            _sweep(folder)
            digest = _write_part(target, table)
            manifest = {
                "table": contract.name,
                "week": str(week) if week else None,
                "generation": generation,
                "row_count": table.num_rows,
                "schema_hash": contract.hash,
                "files": {_PART: digest},
                "inputs": dict(sorted(provenance.inputs.items())),
                "code_version": provenance.code_version,
                "config_hash": provenance.config_hash,
                "seed": provenance.seed,
                "verdicts": [{"rule": v.rule, "is_kept": v.is_kept, "detail": v.detail} for v in verdicts],
            }
            write_atomically(target / _MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
            write_atomically(folder / _POINTER, generation.encode())
            _remove(folder / _FAILED)
        return Publication(contract.name, week, generation, table.num_rows, tuple(verdicts))

    def read(
        self, name: str, week: IsoWeek | None, columns: Sequence[str] | None = None, generation: str | None = None
    ) -> pa.Table:
        """Return the rows of a week, verified against their manifest: the current generation, or the one named.

        Raises InputFailed where the week was never written or its last attempt failed, CorruptData where bytes have changed.
        """
        manifest = self.manifest(name, week, generation)
        path = self._folder(name, week) / str(manifest["generation"]) / _PART
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CorruptData(
                _label(name, week), f"{path.name} cannot be read ({error.strerror})", _again(name)
            ) from error
        if hashlib.sha256(content).hexdigest() != manifest["files"][_PART]:
            raise CorruptData(_label(name, week), f"{path.name} is not what was written", _again(name))
        return read_parquet(pa.BufferReader(content), columns)

    def manifest(self, name: str, week: IsoWeek | None, generation: str | None = None) -> dict[str, Any]:
        """Return the manifest of the current generation, or of the one named; raises as ``read`` does."""
        if generation:
            return self._manifest_of(name, week, generation)
        failure = self.failure(name, week)
        if failure:
            raise InputFailed(_label(name, week), f"its last attempt failed ({failure})", _again(name), failure)
        generation = self.generation(name, week)
        if generation is None:
            raise InputFailed(_label(name, week), "it was never materialised", _again(name))
        return self._manifest_of(name, week, generation)

    def _manifest_of(self, name: str, week: IsoWeek | None, generation: str) -> dict[str, Any]:
        path = self._folder(name, week) / generation / _MANIFEST
        try:
            manifest = json.loads(path.read_bytes())
            is_its_own = manifest["generation"] == generation and _PART in manifest["files"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptData(_label(name, week), f"its manifest cannot be read ({error})", _again(name)) from error
        if not is_its_own:
            raise CorruptData(_label(name, week), "its manifest is that of another generation", _again(name))
        return manifest

    def input_of(self, name: str, week: IsoWeek | None) -> dict[str, str]:
        """Return one input's name with its current generation, as manifests record it; raises as ``read`` does."""
        return {_label(name, week): str(self.manifest(name, week)["generation"])}

    def is_readable(self, name: str, week: IsoWeek | None) -> bool:
        """Tell whether a week has a current generation and its last attempt did not fail."""
        return self.failure(name, week) is None and self.generation(name, week) is not None

    def generation(self, name: str, week: IsoWeek | None) -> str | None:
        """Return the current generation of a week, None where nothing was published; raises CorruptData for a broken pointer."""
        try:
            pointer = (self._folder(name, week) / _POINTER).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            culprit = f"its pointer {_POINTER} cannot be read ({error.strerror})"
            raise CorruptData(_label(name, week), culprit, _again(name)) from error
        if not _GENERATION.fullmatch(pointer):
            raise CorruptData(_label(name, week), f"its pointer {_POINTER} names no generation", _again(name))
        return pointer.decode()

    def failure(self, name: str, week: IsoWeek | None) -> str | None:
        """Return why the week's last attempt failed, by the root of a chain of failed tables; None where it did not."""
        try:
            return str(json.loads((self._folder(name, week) / _FAILED).read_bytes())["root"])
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return "its failure record cannot be read"

    def record_failure(self, name: str, week: IsoWeek | None, error: MemloopError) -> None:
        """Mark a week as failed: readers are refused until it is published again; earlier generations stay on disk.

        Raises WriterConflict where another writer has this week, and OSError from the disk.
        """
        folder = self._folder(name, week)
        make_folder(folder)
        root = error.root if isinstance(error, InputFailed) else ""
        record = {"kind": type(error).__name__, "error": str(error), "root": root or str(error)}
        with _sole_writer(folder, _label(name, week)):
            write_atomically(folder / _FAILED, json.dumps(record, sort_keys=True).encode())

    def generations(self, name: str) -> list[tuple[IsoWeek, str]]:
        """Return every generation of a weekly table that lies on disk, current or not, whole or not, with its week, in order."""
        folder = self.root / name
        found = sorted(folder.glob("*-W*/*")) if folder.is_dir() else []
        return [(IsoWeek.parse(p.parent.name), p.name) for p in found if _GENERATION.fullmatch(p.name.encode())]

    def erase(self, name: str, week: IsoWeek, generation: str) -> None:
        """Remove a generation from the disk; where it is the current one, the week is as if never materialised.

        Raises WriterConflict where a writer has this week, and OSError from the disk.
        """
        folder = self._folder(name, week)
        with _sole_writer(folder, _label(name, week)):
            _sweep(folder)
            if self.generation(name, week) == generation:
                _remove(folder / _POINTER)
            for path in (folder / generation).iterdir():
                path.unlink()
            (folder / generation).rmdir()
            _sync_folder(folder)

    def weeks(self, name: str) -> list[IsoWeek]:
        """Return the weeks that have a current generation, in order; for people's overviews, never to address a week."""
        folder = self.root / name
        names = sorted(p.name for p in folder.iterdir() if (p / _POINTER).exists()) if folder.is_dir() else []
        return [IsoWeek.parse(name) for name in names if name != "all"]

    def failures(self, name: str) -> dict[IsoWeek, str]:
        """Return the weeks whose last attempt failed, in order, each with why."""
        folder = self.root / name
        names = sorted(p.name for p in folder.iterdir() if (p / _FAILED).exists()) if folder.is_dir() else []
        weeks = [IsoWeek.parse(week) for week in names if week != "all"]
        return {week: self.failure(name, week) or "" for week in weeks}

    def moved_inputs(self, name: str, week: IsoWeek | None, others: Mapping[str, str]) -> list[str]:
        """Return which inputs of a week's current generation are no longer what it was built from; raises as ``manifest`` does.

        ``others`` holds the present digests of inputs that are no tables, under the names by which manifests record them.
        """
        recorded = self.manifest(name, week)["inputs"]
        return [label for label, was in recorded.items() if was != (others.get(label) or self._input_now(label, was))]

    def _input_now(self, label: str, was: str) -> str:
        name, _, last = label.rpartition(" ")
        table, week = (name, IsoWeek.parse(last)) if name else (last, None)
        if was == MISSING and self.failure(table, week) is not None:
            return MISSING  # it could not be read then, and cannot now
        return self.generation(table, week) or MISSING

    def _folder(self, name: str, week: IsoWeek | None) -> Path:
        return self.root / name / (str(week) if week else "all")


def hash_rows(table: pa.Table) -> str:
    """Return the content hash of canonical rows: 32 hex digits of SHA-256 over names, validity and values, column by column.

    The table must be conformed (ordered, sorted, one chunk); equal rows give equal hashes whatever their Arrow buffers look like.
    """
    digest = hashlib.sha256(str(table.num_rows).encode())
    for name in table.column_names:
        chunks = table[name].chunks
        values = (
            chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks) if chunks else pa.array([], table[name].type)
        )
        digest.update(f"|{name}|{values.type}|".encode())
        digest.update(pc.is_valid(values).to_numpy(zero_copy_only=False).tobytes())
        if pa.types.is_large_string(values.type):
            values = values.fill_null("") if values.null_count else values
            digest.update(pc.binary_length(values).to_numpy(zero_copy_only=False).tobytes())
            digest.update(_string_bytes(values))
        elif pa.types.is_boolean(values.type):
            digest.update(values.fill_null(False).to_numpy(zero_copy_only=False).tobytes())
        elif pa.types.is_floating(values.type):
            digest.update((values.fill_null(0.0).to_numpy(zero_copy_only=False) + 0.0).tobytes())
        else:
            digest.update(values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).tobytes())
    return digest.hexdigest()[:32]


def read_parquet(source: pa.NativeFile | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file in the calling thread alone.

    pyarrow's own threads, where they have run, now and then abort the process at its exit (apache/arrow issue 34314).
    """
    with pq.ParquetFile(source, pre_buffer=False) as file:
        return file.read(columns=list(columns) if columns else None, use_threads=False)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, durably, readable by their owner alone."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync_folder(folder.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that readers and crashes see the old content or the new, never a part."""
    new = path.with_name(f".new-{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _judge(contract: TableContract, table: pa.Table, rules: Sequence[Rule]) -> list[Verdict]:
    violations = contract.violations(table)
    detail = "; ".join(violations) or f"{table.num_rows} rows keep {len(contract.columns)} columns"
    return [Verdict("contract", not violations, detail), *(rule(table) for rule in rules)]


def _write_part(folder: Path, table: pa.Table) -> str:
    """Write the rows of a generation unless they lie there whole already; return the file's SHA-256.

    A whole earlier file of the same generation is kept even where another library version would now write other bytes.
    """
    path = folder / _PART
    try:
        recorded = str(json.loads((folder / _MANIFEST).read_bytes())["files"][_PART])
        if hashlib.sha256(path.read_bytes()).hexdigest() == recorded:
            return recorded
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no whole earlier write: write it now
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=ROW_GROUP_ROWS)
    content = sink.getvalue().to_pybytes()
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def _string_bytes(values: pa.LargeStringArray) -> bytes | memoryview:
    _, offsets, data = values.buffers()
    if data is None or len(values) == 0:
        return b""
    bounds = memoryview(offsets).cast("q")
    return memoryview(data)[bounds[values.offset] : bounds[values.offset + len(values)]]


@contextmanager
def _sole_writer(folder: Path, label: str) -> Iterator[None]:
    """Hold the week's lock; the kernel releases it when the process ends, however it ends."""
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WriterConflict(
                label, "another process is writing it", "wait for that run to end, then run again"
            ) from None
        yield


def _sweep(folder: Path) -> None:
    """Remove what killed writers left half written; the caller holds the lock."""
    for leftover in (*folder.glob(".new-*"), *folder.glob("*/.new-*")):
        leftover.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.exists():
        path.unlink()
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _label(name: str, week: IsoWeek | None) -> str:
    return f"{name} {week}" if week else name


def _again(name: str) -> str:
    return f"materialise {name} again"
