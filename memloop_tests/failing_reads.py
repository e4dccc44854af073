"""Files that the disk cannot read, from some byte on: read errors as a failing device raises them, made where Python opens a file."""

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest


class FailingFile(io.FileIO):
    """A file whose bytes can be read up to one of them; reading on is an input/output error (EIO)."""

    def __init__(self, path: Path, good_bytes: int) -> None:
        super().__init__(path, "r")
        self._path = path
        self._good_bytes = good_bytes

    def readinto(self, buffer: Any) -> int | None:
        left = self._good_bytes - self.tell()
        if left <= 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self._path))
        return super().readinto(memoryview(buffer)[:left])

    def readall(self) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(self._path))


def fail_reads_of(path: Path, monkeypatch: pytest.MonkeyPatch, good_bytes: int = 0) -> None:
    """Let every reading of a file fail from a byte on, until the patch is undone; its size and names stay as they are."""
    whole = io.open

    def opened(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if mode == "rb" and isinstance(file, str | Path) and Path(file) == path:
            return io.BufferedReader(FailingFile(path, good_bytes))
        return whole(file, mode, *arguments, **named)

    monkeypatch.setattr(io, "open", opened)
