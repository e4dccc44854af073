"""Near-duplicate tasks: texts that are one task in slightly other words, found by MinHash without comparing all pairs.

Ground floor: leakage and datasets must agree on it. Two texts are near-duplicates where the Jaccard similarity of their sets of five
characters is at least 0.8 and they hold the same numbers: "order 17" and "order 18" are two tasks however alike they read. Case,
punctuation and white space do not count. It finds small edits (a typo, a greeting, other punctuation), never a retelling in new words.

The index is banded locality-sensitive hashing over MinHash signatures (Broder, 1997; Leskovec et al., "Mining of Massive Datasets", 3.4):
64 hashes in 16 bands of 4 rows, so that a pair at the threshold is missed about once in 5,000; what it proposes is then compared exactly.
Where a crowd of texts shares long stretches, a bucket proposes its first 20 alone: cost stays linear, and such a pair may be missed.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIMILARITY = 0.8
_SHINGLE = 5
_BANDS, _ROWS = 16, 4
_BUCKET = 20
_LONGEST = 20_000  # characters of a text that are looked at
_ESTIMATE_SLACK = 0.25  # an estimate over 64 hashes is off by more than this about once in a million pairs

_SIZE_STEP = math.log(1.0 / SIMILARITY) * 1.05  # a little more than the greatest ratio of similar texts' sizes

_NO_WORD = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"\d+")
_RANDOM = np.random.default_rng(20_260_105)
_FACTORS = _RANDOM.integers(0, 2**31, _BANDS * _ROWS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
_OFFSETS = _RANDOM.integers(0, 2**32, _BANDS * _ROWS, dtype=np.uint32)
_POWERS = np.array([pow(0x9E3779B97F4A7C15, place + 1, 2**64) for place in range(_SHINGLE)], dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Sketch:
    """What the index keeps of a text: its hashed runs of five characters, their MinHash signature, its numbers in order."""

    shingles: NDArray[np.uint32]
    signature: NDArray[np.uint32]
    numbers: str

    def band_keys(self) -> list[bytes]:
        """Return the buckets of the text: texts with other numbers never meet in one."""
        whole, width, numbers = self.signature.tobytes(), _ROWS * self.signature.itemsize, self.numbers.encode()
        return [whole[start : start + width] + numbers for start in range(0, len(whole), width)]


class NearDuplicateIndex:
    """Texts of which the next one may be a near-duplicate."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Hold the texts, numbered from 0 in their order."""
        self._sketches: list[Sketch] = []
        self._signatures = np.zeros((64, _BANDS * _ROWS), dtype=np.uint32)
        self._bands: list[dict[bytes, list[int]]] = [{} for _ in range(_BANDS)]
        self._sizes: dict[str, set[int]] = {}
        for text in texts:
            self.add(sketch_text(text))

    def find(self, text: str) -> int | None:
        """Return the number of the first text that this one nearly or wholly duplicates, None where there is none."""
        return self.find_similar(text)[0]

    def find_similar(self, text: str) -> tuple[int | None, float]:
        """Return what ``find`` does, and the similarity of the two (0 where there is none)."""
        folded = _fold(text)
        numbers = _numbers_in(folded)
        sizes = self._sizes.get(numbers)
        if sizes is None:
            return None, 0.0
        shingles = _shingle(folded)
        size = _size_class(shingles)
        if sizes.isdisjoint((size - 1, size, size + 1)):
            return None, 0.0
        return self._find(Sketch(shingles, _sign(shingles), numbers))

    def find_or_add(self, text: str) -> int | None:
        """Return what ``find`` does, and hold the text where that is None."""
        sketch = sketch_text(text)
        found, _ = self._find(sketch)
        if found is None:
            self.add(sketch)
        return found

    def add(self, sketch: Sketch) -> None:
        """Hold one more text, known by its sketch."""
        self._sizes.setdefault(sketch.numbers, set()).add(_size_class(sketch.shingles))
        number = len(self._sketches)
        if number == len(self._signatures):
            self._signatures = np.concatenate([self._signatures, np.zeros_like(self._signatures)])
        self._signatures[number] = sketch.signature
        self._sketches.append(sketch)
        for band, key in zip(self._bands, sketch.band_keys(), strict=True):
            bucket = band.setdefault(key, [])
            if len(bucket) < _BUCKET:
                bucket.append(number)

    def __getitem__(self, number: int) -> Sketch:
        """Return the sketch of a text by its number."""
        return self._sketches[number]

    def _find(self, sketch: Sketch) -> tuple[int | None, float]:
        found: set[int] = set()
        for band, key in zip(self._bands, sketch.band_keys(), strict=True):
            found.update(band.get(key, ()))
        if not found:
            return None, 0.0
        proposed = np.array(sorted(found), dtype=np.int64)
        estimates = np.mean(self._signatures[proposed] == sketch.signature, axis=1)
        likely = proposed[estimates >= SIMILARITY - _ESTIMATE_SLACK].tolist()
        similarities = ((number, _jaccard(self._sketches[number].shingles, sketch.shingles)) for number in likely)
        return next((one for one in similarities if one[1] >= SIMILARITY), (None, 0.0))


def mark_near_duplicates(texts: Sequence[str]) -> list[int | None]:
    """Return for each text the place of the earlier text that it nearly duplicates, None where it is the first of its kind.

    The earlier text is always one that is marked None itself.
    """
    index = NearDuplicateIndex()
    places: list[int] = []
    marks: list[int | None] = []
    for place, text in enumerate(texts):
        found = index.find_or_add(text)
        marks.append(None if found is None else places[found])
        if found is None:
            places.append(place)
    return marks


def sketch_text(text: str) -> Sketch:
    """Return what the index keeps of a text."""
    folded = _fold(text)
    shingles = _shingle(folded)
    return Sketch(shingles, _sign(shingles), _numbers_in(folded))


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text[:_LONGEST]).casefold()


def _numbers_in(folded: str) -> str:
    return " ".join(_NUMBER.findall(folded))


def _shingle(folded: str) -> NDArray[np.uint32]:
    plain = _NO_WORD.sub(" ", folded).strip()
    codes = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    if codes.size < _SHINGLE:
        codes = np.pad(codes, (0, _SHINGLE - codes.size))
    count = codes.size - _SHINGLE + 1
    hashes = np.zeros(count, dtype=np.uint64)
    for place, power in enumerate(_POWERS):
        hashes += codes[place : place + count] * power
    shingles = np.sort((hashes >> np.uint64(32)).astype(np.uint32))
    return shingles[np.append(True, shingles[1:] != shingles[:-1])]  # np.unique takes five times as long


def _sign(shingles: NDArray[np.uint32]) -> NDArray[np.uint32]:
    hashed = np.multiply.outer(_FACTORS, shingles)
    hashed += _OFFSETS[:, np.newaxis]
    return hashed.min(axis=1)  # along rows: several times faster than along columns


def _size_class(shingles: NDArray[np.uint32]) -> int:
    """Return a number by which two sets of shingles differ by at most 1 where they may be similar."""
    return int(math.log(shingles.size) / _SIZE_STEP)


def _jaccard(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> float:
    shared = np.intersect1d(one, other, assume_unique=True).size
    return float(shared / (one.size + other.size - shared))
