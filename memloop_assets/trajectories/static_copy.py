"""A static copy of a log file that may be written, rotated or compressed at this very moment: everything else is decided on the copy.

Knows bytes and compression, not what a line or a source is.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from memloop_assets.errors import BadInput

CHUNK = 1 << 20
_MAGIC: Mapping[bytes, str] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_UNSURE_NS = 2_000_000_000
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class FileStat:
    """What tells a file that was seen from one that has changed, without reading it; ``modified_ns`` is UNKNOWN where it cannot tell."""

    byte_count: int
    modified_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> "FileStat":
        """Return the facts of a stat."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


def is_compressed(path: Path) -> bool:
    """Tell from a file's first bytes, not from its name, whether it is a gzip or zstd file."""
    with path.open("rb") as file:
        return _codec_of(file) is not None


def read_head(path: Path, byte_count: int) -> bytes:
    """Return the first bytes of a file, decompressed; as many as can be read where compressed bytes are not whole."""
    with path.open("rb") as file:
        codec = _codec_of(file)
        if codec is None:
            return file.read(byte_count)
        head = b""
        try:
            with pa.CompressedInputStream(file, codec) as stream:
                while len(head) < byte_count and (chunk := stream.read(byte_count - len(head))):
                    head += chunk
        except OSError as error:
            if error.errno is not None:  # the disk's, not the codec's
                raise
        return head


def copy_log(path: Path, target: Path) -> FileStat:
    """Copy a file's bytes, decompressed, and return its stat from before the copy.

    A file modified within two seconds of the copy may change again without a trace in its stat, so that is then not to be relied on.
    Raises BadInput for compressed bytes that are not whole and for a file that was cut short meanwhile, OSError from the disk.
    """
    with path.open("rb") as reading, target.open("wb") as writing:
        target.chmod(0o600)
        before = FileStat.of(os.fstat(reading.fileno()))
        codec = _codec_of(reading)
        is_cut_short = False
        if codec is None:
            _pump(reading, writing)
            is_cut_short = os.fstat(reading.fileno()).st_size < writing.tell()
        else:
            try:
                with pa.CompressedInputStream(reading, codec) as stream:
                    _pump(stream, writing)
            except OSError as error:
                if error.errno is not None:  # the disk's, not the codec's
                    raise
                raise BadInput(
                    str(path), f"its {codec} bytes cannot be read ({error})", "ingest it again once it is written whole"
                ) from error
        writing.flush()
        copied_at_ns = os.fstat(writing.fileno()).st_mtime_ns
    if is_cut_short:
        raise BadInput(str(path), "it was cut short while it was read", "ingest it and its rotated files again")
    is_sure = copied_at_ns - before.modified_ns > _UNSURE_NS
    return before if is_sure else FileStat(before.byte_count, UNKNOWN, before.inode)


def append_tail(content: Path, target: Path, size: int, start: int | None = None) -> None:
    """Make a landing copy of ``size`` known bytes hold all of the content, durably; with a ``start``, bytes from there are written anew.

    What an interrupted append has left behind those bytes is cut off first. A copy that is gone or short is written anew.
    """
    if not is_whole(target, size):
        adopt(content, target)
        return
    with content.open("rb") as reading, target.open("r+b") as writing:
        writing.truncate(size)
        writing.seek(size if start is None else start)
        reading.seek(size if start is None else start)
        _pump(reading, writing)
        writing.flush()
        os.fsync(writing.fileno())


def is_whole(copy: Path, size: int) -> bool:
    """Tell whether a landing copy has all of its known bytes."""
    return copy.is_file() and copy.stat().st_size >= size


def begins_alike(content: Path, copy: Path) -> bool:
    """Tell whether a landing copy begins with a content, but for lines that were blanked in it: those of forgotten people."""
    with content.open("rb") as reading, copy.open("rb") as landed:
        for line in reading:
            kept = landed.readline()[: len(line)]
            if kept != line and (len(kept) < len(line) or kept.strip(b" \n")):
                return False
    return True


def adopt(content: Path, target: Path) -> None:
    """Give a copy its place, durably."""
    with content.open("rb") as file:
        os.fsync(file.fileno())
    content.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _codec_of(file: BinaryIO) -> str | None:
    head = file.read(4)
    file.seek(0)
    return next((codec for magic, codec in _MAGIC.items() if head.startswith(magic)), None)


def _pump(reading: BinaryIO | pa.CompressedInputStream, writing: BinaryIO) -> None:
    while chunk := reading.read(CHUNK):
        writing.write(chunk)
