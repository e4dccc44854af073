"""Routers on disk: arrays plus JSON in a folder named by content, never a pickle.

Here belong the format, its hashes, atomic writing and reading. Not here: which version is champion (``versions.py``).
numpy and the standard library only: agents load checkpoints.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloop_assets.errors import BadCheckpoint, BadInput
from memloop_assets.featuriser import HAND_NAMES, Featuriser
from memloop_assets.routing.choosing import ChoiceRule
from memloop_assets.routing.forest import Forest
from memloop_assets.routing.linear import LINEAR_ARRAYS, Linear
from memloop_assets.routing.router import Router, little_endian
from memloop_assets.routing.task_memory import TaskMemory

FORMAT = 2
"""Raised whenever a reader of the old format would misread the new one."""

_FACTS_FILE = "router.json"
_FIT_AGAIN = "fit the router again, or restore the folder from a copy"


def save_checkpoint(router: Router, root: Path) -> str:
    """Write ``<root>/<version>/`` and return the version; the same router gives the same version and the same bytes.

    Atomic: readers see the whole folder or none. A sound folder of that version is left alone, a damaged one replaced.
    """
    target = root / router.version
    try:
        load_checkpoint(root, router.version)
    except BadCheckpoint:
        root.mkdir(parents=True, exist_ok=True)
    else:
        return router.version
    fresh = Path(tempfile.mkdtemp(prefix=f".{router.version}-", dir=root))
    try:
        fresh.chmod(0o755)
        for name, content in _files_of(router).items():
            _write_durably(fresh / name, content)
        _sync_folder(fresh)
        _put_in_place(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    _sync_folder(root)
    return router.version


def load_checkpoint(root: Path, version: str) -> Router:
    """Return the router saved as ``version``, every byte of it verified.

    Raises BadCheckpoint when it is missing, altered, incomplete or of a format newer than this memloop.
    """
    folder = root / version
    if Path(version).name != version or not (folder / _FACTS_FILE).is_file():
        raise BadCheckpoint(f"checkpoint {version}", f"there is none in {root}", "check the version and the data home")
    try:
        facts = json.loads((folder / _FACTS_FILE).read_bytes())
        saved_format = facts["format"]
        if not isinstance(saved_format, int) or saved_format > FORMAT:
            culprit = f"its format {saved_format} is newer than {FORMAT}, the newest that this memloop reads"
            raise BadCheckpoint(f"checkpoint {version}", culprit, "upgrade memloop")
        if saved_format < FORMAT:
            culprit = f"its format {saved_format} is older than {FORMAT}, the only one that this memloop reads"
            raise BadCheckpoint(f"checkpoint {version}", culprit, "fit the router again with `memloop backfill`")
        arrays = {name: _read_array(folder / f"{name}.npy", digest) for name, digest in facts["sha256"].items()}
        router = _rebuild(facts["router"], arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BadInput) as fault:
        raise BadCheckpoint(f"checkpoint {version}", f"it cannot be read ({fault})", _FIT_AGAIN) from fault
    if router.version != version:
        raise BadCheckpoint(f"checkpoint {version}", f"its content is that of {router.version}", _FIT_AGAIN)
    return router


def checkpoint_digest(root: Path, version: str) -> str:
    """Return the SHA-256 of a checkpoint's facts, which hold the hash of every array: what ``champion.json`` pins.

    Raises BadCheckpoint when it cannot be read.
    """
    try:
        return hashlib.sha256((root / version / _FACTS_FILE).read_bytes()).hexdigest()
    except OSError as fault:
        raise BadCheckpoint(f"checkpoint {version}", f"it cannot be read ({fault})", _FIT_AGAIN) from fault


def _files_of(router: Router) -> dict[str, bytes]:
    """Return every file of the checkpoint by name."""
    files = {f"{name}.npy": _array_bytes(array) for name, array in router.arrays().items()}
    digests = {name.removesuffix(".npy"): hashlib.sha256(content).hexdigest() for name, content in files.items()}
    facts = {"format": FORMAT, "sha256": digests, "router": router.facts()}
    files[_FACTS_FILE] = json.dumps(facts, sort_keys=True, indent=1).encode() + b"\n"
    return files


def _rebuild(facts: dict[str, Any], arrays: dict[str, NDArray]) -> Router:
    """Return the router made of verified parts; KeyError, TypeError or BadInput tell of parts that do not fit."""
    if tuple(facts["hand_names"]) != HAND_NAMES:
        raise BadInput("router", "its hand features are not those of this memloop", "fit it again")
    per_arm = {name: arrays[name] for name in ("costs_usd", "latencies_ms", "slopes", "shifts", "term_variances")}
    linear = {name: arrays[name] for name in LINEAR_ARRAYS}
    forest, memory = (
        {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        for prefix in ("forest_", "memory_")
    )
    return Router(
        kind=facts["kind"],
        arms=tuple(facts["arms"]),
        rule=ChoiceRule(**facts["rule"]),
        featuriser=Featuriser(tuple(facts["terms"]), arrays["idf"], arrays["hand_mean"], arrays["hand_scale"]),
        linear=Linear(domains=tuple(facts["domains"]), **linear),
        forest=Forest(depth=facts["forest_depth"], **forest) if forest else None,
        prior_variance=facts["prior_variance"],
        row_counts=tuple(facts["row_counts"]),
        memory=_rebuild_memory(facts["memory"], memory) if memory else None,
        **per_arm,
    )


def _rebuild_memory(facts: dict[str, Any], arrays: dict[str, Any]) -> TaskMemory:
    return TaskMemory(tuple(facts["keys"]), tuple(facts["numbers"]), trust_trials=facts["trust_trials"], **arrays)


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


def _put_in_place(fresh: Path, target: Path) -> None:
    """Rename the finished folder; what holds the name already is another writer's equal, or damaged and in the way."""
    try:
        fresh.rename(target)
    except OSError:
        try:
            load_checkpoint(target.parent, target.name)
        except BadCheckpoint:
            _remove(target)
            fresh.rename(target)


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
