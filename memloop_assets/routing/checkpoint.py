"""Routers on disk: arrays plus JSON in a folder named by content.

Here belong the format and what a router is made of. Not here: hashes, writing and reading (``array_folder.py``), which version is
champion (``versions.py``). numpy and the standard library only: agents load checkpoints.
"""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from memloop_assets.errors import BadInput
from memloop_assets.featuriser import HAND_NAMES, Featuriser
from memloop_assets.routing.array_folder import FolderKind
from memloop_assets.routing.choosing import ChoiceRule
from memloop_assets.routing.forest import Forest
from memloop_assets.routing.linear import LINEAR_ARRAYS, Linear
from memloop_assets.routing.router import Router
from memloop_assets.routing.task_memory import TaskMemory

FORMAT = 3
"""Raised whenever a reader of the old format would misread the new one."""


def save_checkpoint(router: Router, root: Path) -> str:
    """Write ``<root>/<version>/`` and return the version, as ``FolderKind.save`` does."""
    return _CHECKPOINTS.save(router, root)


def load_checkpoint(root: Path, version: str) -> Router:
    """Return the router saved as ``version``, every byte of it verified; raises BadCheckpoint as ``FolderKind.load`` does."""
    return _CHECKPOINTS.load(root, version)


def checkpoint_digest(root: Path, version: str) -> str:
    """Return the SHA-256 of a checkpoint's facts, which hold the hash of every array: what ``champion.json`` pins.

    Raises BadCheckpoint when it cannot be read.
    """
    return _CHECKPOINTS.digest(root, version)


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
        forest_share=facts["forest_share"],
        **per_arm,
    )


def _rebuild_memory(facts: dict[str, Any], arrays: dict[str, Any]) -> TaskMemory:
    return TaskMemory(tuple(facts["keys"]), tuple(facts["numbers"]), trust_trials=facts["trust_trials"], **arrays)


_CHECKPOINTS = FolderKind(
    label="checkpoint",
    key="router",
    format=FORMAT,
    rebuild=_rebuild,
    if_missing="check the version and the data home",
    again="fit the router again, or restore the folder from a copy",
    again_in_format="fit the router again with `memloop backfill`",
)
