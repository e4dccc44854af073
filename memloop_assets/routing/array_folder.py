"""Arrays plus JSON in a folder named by content, never a pickle: what checkpoints and priors are on disk.

Here belong the hashes, atomic writing and verified reading. Not here: what the parts mean (``checkpoint.py``, ``prior_files.py``).
numpy and the standard library only: agents load checkpoints.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from memloop_assets.errors import BadCheckpoint, BadInput


class Foldable(Protocol):
    """What can be kept in a folder: it knows its own content-addressed name and its parts."""

    @property
    def version(self) -> str:
        """Return the name that its content gives it."""

    def facts(self) -> dict[str, object]:
        """Return everything but the arrays, ready for JSON."""

    def arrays(self) -> Mapping[str, NDArray]:
        """Return every array by its name."""


T = TypeVar("T", bound=Foldable)


@dataclass(frozen=True)
class FolderKind(Generic[T]):
    """One kind of thing in folders: what it is called, the name of its facts, its format, and how it is made of verified parts.

    ``rebuild`` may raise ValueError, KeyError, TypeError, AttributeError and BadInput for parts that do not fit. The last three say in
    words what to do about one that is missing, one that is damaged and one of an older format.
    """

    label: str
    key: str
    format: int
    rebuild: Callable[[dict[str, Any], dict[str, NDArray]], T]
    if_missing: str
    again: str
    again_in_format: str

    def save(self, thing: T, root: Path) -> str:
        """Write ``<root>/<version>/`` and return the version; the same thing gives the same version and the same bytes.

        Atomic: readers see the whole folder or none. A sound folder of that version is left alone, a damaged one replaced.
        """
        target = root / thing.version
        if self._is_sound(target):
            return thing.version
        root.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{thing.version}-", dir=root))
        try:
            fresh.chmod(0o755)
            for name, content in self._files_of(thing).items():
                _write_durably(fresh / name, content)
            _sync_folder(fresh)
            try:
                fresh.rename(target)
            except OSError:  # what holds the name is another writer's equal, or damaged and in the way
                if not self._is_sound(target):
                    _remove(target)
                    fresh.rename(target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        _sync_folder(root)
        return thing.version

    def load(self, root: Path, version: str) -> T:
        """Return what was saved as ``version``, every byte of it verified.

        Raises BadCheckpoint when it is missing, altered, incomplete or of another format than this memloop's.
        """
        named = f"{self.label} {version}"
        folder = root / version
        if Path(version).name != version or not self.facts_file(folder).is_file():
            raise BadCheckpoint(named, f"there is none in {root}", self.if_missing)
        try:
            facts = json.loads(self.facts_file(folder).read_bytes())
            saved = facts["format"]
            if not isinstance(saved, int) or saved > self.format:
                culprit = f"its format {saved} is newer than {self.format}, the newest that this memloop reads"
                raise BadCheckpoint(named, culprit, "upgrade memloop")
            if saved < self.format:
                culprit = f"its format {saved} is older than {self.format}, the only one that this memloop reads"
                raise BadCheckpoint(named, culprit, self.again_in_format)
            arrays = {name: _read_array(folder / f"{name}.npy", digest) for name, digest in facts["sha256"].items()}
            found = self.rebuild(facts[self.key], arrays)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, BadInput) as fault:
            raise BadCheckpoint(named, f"it cannot be read ({fault})", self.again) from fault
        if found.version != version:
            raise BadCheckpoint(named, f"its content is that of {found.version}", self.again)
        return found

    def digest(self, root: Path, version: str) -> str:
        """Return the SHA-256 of its facts, which hold the hash of every array. Raises BadCheckpoint when it cannot be read."""
        try:
            return hashlib.sha256(self.facts_file(root / version).read_bytes()).hexdigest()
        except OSError as fault:
            raise BadCheckpoint(f"{self.label} {version}", f"it cannot be read ({fault})", self.again) from fault

    def facts_file(self, folder: Path) -> Path:
        """Return the file of a folder that holds everything but the arrays."""
        return folder / f"{self.key}.json"

    def _is_sound(self, folder: Path) -> bool:
        try:
            self.load(folder.parent, folder.name)
        except BadCheckpoint:
            return False
        return True

    def _files_of(self, thing: T) -> dict[str, bytes]:
        """Return every file of the folder by name."""
        files = {f"{name}.npy": _array_bytes(array) for name, array in thing.arrays().items()}
        digests = {name.removesuffix(".npy"): hashlib.sha256(content).hexdigest() for name, content in files.items()}
        facts = {"format": self.format, "sha256": digests, self.key: thing.facts()}
        files[f"{self.key}.json"] = json.dumps(facts, sort_keys=True, indent=1).encode() + b"\n"
        return files


def content_name(facts: Mapping[str, object], arrays: Mapping[str, NDArray]) -> str:
    """Return the content-addressed name of facts and arrays: 16 hex digits of SHA-256."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode())
    for name, array in sorted(arrays.items()):
        stored = little_endian(array)
        digest.update(f"\n{name} {stored.dtype.str} {stored.shape}\n".encode())
        digest.update(stored.tobytes())
    return digest.hexdigest()[:16]


def little_endian(array: NDArray) -> NDArray:
    """Return an array in the byte order in which it is stored and hashed."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def _array_bytes(array: NDArray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, little_endian(array), allow_pickle=False)
    return buffer.getvalue()


def _read_array(path: Path, digest: str) -> NDArray:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        message = f"{path.name} does not match its recorded hash"
        raise ValueError(message)
    array: NDArray = np.load(io.BytesIO(content), allow_pickle=False)
    return array


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
