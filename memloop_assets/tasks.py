"""Task identity: when two texts are the same task, and on which side of the benchmark's split a task falls.

Ground floor and standard library only: training, serving, the leakage check and the benchmark must agree on it to the letter.
"""

import hashlib
import unicodedata
from typing import Literal

Split = Literal["practice", "holdout"]


def normalise_task(text: str) -> str:
    """Return the text that identifies a task: NFKC, case folded, runs of white space made one, ends stripped."""
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()


def task_key(text: str) -> str:
    """Return the identity of a task: the first 32 hex digits of SHA-256 over its normalised text."""
    return hashlib.sha256(normalise_task(text).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def split_of_task(text: str, holdout_share: float, salt: str = "") -> Split:
    """Return the side of the split on which a task falls: a function of its normalised text alone.

    ``holdout_share`` is in [0, 1]; the same text always falls on the same side for one salt.
    """
    digest = hashlib.sha256(f"{salt}\x00{normalise_task(text)}".encode("utf-8", "surrogatepass")).digest()
    return "holdout" if int.from_bytes(digest[:8]) / 2**64 < holdout_share else "practice"
