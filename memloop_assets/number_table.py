"""A frozen table from whole numbers to whole numbers that looks many of them up at once, without a step of Python for each.

Ground floor: numpy only. Here belongs the lookup alone; what the numbers stand for is the caller's.
"""

import numpy as np
from numpy.typing import NDArray

_MIX = np.int64(0x9E3779B97F4A7C15 - 2**64)
"""Multiplying by 2^64 over the golden ratio spreads what is close (Knuth, "The Art of Computer Programming", 6.4)."""

_ABSENT = np.int64(-1)


class NumberTable:
    """Keys are distinct and not negative; each lies in the bucket of its hash, buckets stand in a row."""

    def __init__(self, keys: NDArray[np.int64], values: NDArray[np.int64]) -> None:
        """Hold ``values`` under ``keys``, both of one length."""
        bits = max(int(8 * keys.size).bit_length(), 1)
        self._shift = np.uint64(64 - bits)
        buckets = self._buckets(keys)
        order = np.argsort(buckets, kind="stable")
        sizes = np.bincount(buckets, minlength=1 << bits)
        self._longest = int(sizes.max())
        self._starts = np.cumsum(sizes) - sizes
        padding = np.full(self._longest + 1, _ABSENT)
        self._keys = np.concatenate([keys[order], padding])
        self._values = np.concatenate([values[order], padding])

    def find(self, asked: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the value of each number asked for, -1 where it is no key; the numbers are not negative."""
        places = self._starts[self._buckets(asked)]
        for _ in range(self._longest - 1):
            places += self._keys[places] != asked
        return np.where(self._keys[places] == asked, self._values[places], _ABSENT)

    def _buckets(self, numbers: NDArray[np.int64]) -> NDArray[np.intp]:
        return ((numbers * _MIX).view(np.uint64) >> self._shift).view(np.intp)
