"""Task memory: what arms earned before on this very task, or on one in nearly the same words.

Here belong its arrays, how it is gathered from trials and how it moves a prediction. Which texts are one task is said in
``tasks`` and ``near_duplicates``. numpy and the standard library only: agents carry it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from memloop_assets.errors import BadInput
from memloop_assets.near_duplicates import NearDuplicateIndex, Sketch
from memloop_assets.tasks import task_key

_LEAST_TRIALS = 2


@dataclass(frozen=True, eq=False)
class TaskMemory:
    """The tasks that were tried more than once, most often tried first.

    Shapes: ``trial_counts`` and ``reward_sums`` (tasks, arms); ``shingles`` of all tasks in a row, task n's ending at
    ``ends[n]``; ``signatures`` (tasks, 64). ``keys`` and ``numbers`` have an entry per task. ``trust_trials``: a prediction
    counts as so many trials.
    """

    keys: tuple[str, ...]
    numbers: tuple[str, ...]
    shingles: NDArray[np.uint32]
    ends: NDArray[np.int64]
    signatures: NDArray[np.uint32]
    trial_counts: NDArray[np.float64]
    reward_sums: NDArray[np.float64]
    trust_trials: float

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together; raises BadInput."""
        count = len(self.keys)
        fits = (
            len(self.numbers) == len(self.ends) == len(self.signatures) == len(self.trial_counts) == count
            and self.trial_counts.shape == self.reward_sums.shape
            and bool((np.diff(self.ends, prepend=0) > 0).all())
            and (not count or int(self.ends[-1]) == self.shingles.size)
            and bool(((self.reward_sums >= 0.0) & (self.reward_sums <= self.trial_counts + 1e-9)).all())
            and self.trust_trials > 0.0
        )
        if not fits:
            raise BadInput("router", "the arrays of its task memory do not fit together", "fit it again")

    def recall(self, text: str) -> tuple[int | None, float]:
        """Return the place of the task that a text is or nearly is, with its similarity (1 for the task itself)."""
        place = self._places.get(task_key(text))
        if place is not None:
            return place, 1.0
        return self._index.find_similar(text) if _has_words(text) else (None, 0.0)

    def blend(
        self, place: int, similarity: float, rewards: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the rewards moved towards what was earned on a task, and how much of each prediction is left, (arms,).

        Trials count by the similarity: (trust x predicted + similarity x earned) / (trust + similarity x trials).
        """
        counts = similarity * self.trial_counts[place]
        left = self.trust_trials / (self.trust_trials + counts)
        return left * rewards + similarity * self.reward_sums[place] / (self.trust_trials + counts), left

    def arrays(self) -> dict[str, NDArray]:
        """Return the arrays by their names in a checkpoint."""
        names = ("shingles", "ends", "signatures", "trial_counts", "reward_sums")
        return {f"memory_{name}": getattr(self, name) for name in names}

    def facts(self) -> dict[str, object]:
        """Return everything but the arrays, ready for JSON."""
        return {"keys": list(self.keys), "numbers": list(self.numbers), "trust_trials": self.trust_trials}

    @cached_property
    def _places(self) -> dict[str, int]:
        return {key: place for place, key in enumerate(self.keys)}

    @cached_property
    def _index(self) -> NearDuplicateIndex:
        index = NearDuplicateIndex()
        parts = np.split(self.shingles, self.ends[:-1])
        for shingles, signature, numbers in zip(parts, self.signatures, self.numbers, strict=True):
            index.add(Sketch(shingles, signature, numbers))
        return index


def gather_memory(  # noqa: PLR0913  # tasks, what is known of them, and how much of it is kept
    tasks: Sequence[tuple[str, str]],
    tries: NDArray[np.int64],
    trial_counts: NDArray[np.float64],
    reward_sums: NDArray[np.float64],
    *,
    most_tasks: int,
    trust_trials: float,
) -> TaskMemory | None:
    """Return what to remember of some tasks, None where none was tried twice.

    ``tasks`` are (key, text), each key once, in an order of their own; ``tries`` (tasks,) says how often each was tried,
    ``trial_counts`` (tasks, arms) what these trials weigh, ``reward_sums`` what they earned. A task that nearly
    repeats an earlier one is one task with it; of those tried at least twice, the ``most_tasks`` most often tried are kept.
    A text without a letter or digit is not remembered: there is nothing to tell it from others by.
    """
    told = [place for place, (_, text) in enumerate(tasks) if _has_words(text)]
    tasks = [tasks[place] for place in told]
    index = NearDuplicateIndex()
    firsts: list[int] = []
    owner = np.empty(len(tasks), dtype=np.intp)
    for place, (_, text) in enumerate(tasks):
        found = index.find_or_add(text)
        if found is None:
            firsts.append(place)
        owner[place] = len(firsts) - 1 if found is None else found
    counts, sums = np.zeros((2, len(firsts), trial_counts.shape[1]))
    np.add.at(counts, owner, trial_counts[told])
    np.add.at(sums, owner, reward_sums[told])
    tried = np.bincount(owner, tries[told], len(firsts))
    again = np.flatnonzero(tried >= _LEAST_TRIALS)
    kept = again[np.argsort(-counts[again].sum(axis=1), kind="stable")[:most_tasks]]
    if not kept.size:
        return None
    sketches = [index[place] for place in kept]
    return TaskMemory(
        keys=tuple(tasks[firsts[place]][0] for place in kept),
        numbers=tuple(one.numbers for one in sketches),
        shingles=np.concatenate([one.shingles for one in sketches]),
        ends=np.cumsum([one.shingles.size for one in sketches]).astype(np.int64),
        signatures=np.stack([one.signature for one in sketches]),
        trial_counts=counts[kept],
        reward_sums=np.minimum(sums[kept], counts[kept]),
        trust_trials=trust_trials,
    )


def _has_words(text: str) -> bool:
    return any(map(str.isalnum, text))
