"""Priors on disk: arrays plus JSON in a folder named by content, and which weeks' rows each was made of.

Not here: what a prior says (``prior.py``), hashes, writing and reading (``array_folder.py``).
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from memloop_assets.errors import BadInput
from memloop_assets.featuriser import HAND_NAMES, Featuriser
from memloop_assets.routing.array_folder import FolderKind
from memloop_assets.routing.logistic import Pull
from memloop_assets.routing.prior import Prior

_FORMAT = 1
_AGAIN = "run `memloop backfill` from the first week whose rows it was made of"


def save_prior(prior: Prior, root: Path) -> str:
    """Write ``<root>/<version>/`` and return the version, as ``FolderKind.save`` does."""
    return _PRIORS.save(prior, root)


def load_prior(root: Path, version: str) -> Prior:
    """Return the prior saved as ``version``, every byte of it verified; raises BadCheckpoint as ``FolderKind.load`` does."""
    return _PRIORS.load(root, version)


def find_priors(root: Path, weeks: Iterable[str]) -> list[str]:
    """Return the versions of all priors that were made of rows of any of these weeks, or of which that cannot be told."""
    asked, found = set(weeks), []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []:
        try:
            of = json.loads(_PRIORS.facts_file(folder).read_bytes())[_PRIORS.key]["weeks"]
        except (OSError, ValueError, KeyError, TypeError):
            of = list(asked)
        if asked.intersection(of):
            found.append(folder.name)
    return found


def erase_prior(root: Path, version: str) -> None:
    """Remove a prior from the disk."""
    shutil.rmtree(root / version)


def _rebuild(facts: dict[str, Any], arrays: dict[str, NDArray]) -> Prior:
    if tuple(facts["hand_names"]) != HAND_NAMES:
        raise BadInput("prior", "its hand features are not those of this memloop", _AGAIN)
    scales = (arrays[name] for name in ("idf", "hand_mean", "hand_scale"))
    places = {arm: place for place, arm in enumerate(facts["arms"])}
    parts = ("centre", "slope", "diagonal", "factor")
    return Prior(
        featuriser=Featuriser(tuple(facts["terms"]), *scales),
        term_counts=arrays["term_counts"],
        task_count=facts["task_count"],
        domains=tuple(facts["domains"]),
        pulls={arm: Pull(*(arrays[f"{part}_{place}"] for part in parts)) for arm, place in places.items()},
        domain_sums={arm: arrays[f"domain_sums_{place}"] for arm, place in places.items()},
        trial_weight=facts["trial_weight"],
        weeks=tuple(facts["weeks"]),
        benchmark=facts["benchmark"],
    )


_PRIORS = FolderKind(
    label="prior",
    key="prior",
    format=_FORMAT,
    rebuild=_rebuild,
    if_missing=_AGAIN,
    again=_AGAIN,
    again_in_format=_AGAIN,
)
