"""Text to numbers, frozen per generation: the very same code featurises in training and in serving.

Here belong the tokeniser, the TF-IDF weighting and the hand features. Not here: fitting (``routing/training.py`` counts
the words and takes the means) and everything that is done with the numbers. numpy and the standard library only.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, compress, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TEXT_LIMIT = 20_000
"""Characters of a text that are read: it bounds the time of one choice, whatever an agent pastes into a task."""

HAND_LIMIT = 4.0
"""Standardised hand features are clipped to plus or minus this, so that a freak text cannot be extrapolated from."""

HAND_NAMES = (
    "characters_log",
    "words_log",
    "word_length_mean",
    "line_breaks_log",
    "first_line_log",
    "digits_log",
    "operators_log",
    "code_marks_log",
    "math_marks_log",
    "capitals_ratio",
    "questions_log",
    "negations_log",
    "options_log",
    "option_length_log",
)

_TOKEN = re.compile(r"\w+|\S")
_OPTION = re.compile(r"^[ \t]*\(?[A-Ja-j1-9][.):][ \t]+(.*)$", re.MULTILINE)
_NEGATIONS = frozenset(
    ("no", "not", "never", "none", "nor", "neither", "cannot", "without", "except", "false", "incorrect", "least", "t")
)  # "t" is what is left of don't and its like


class Features(NamedTuple):
    """The numbers of one text: places and weights of its known terms, hand features, and the share of known words."""

    indices: NDArray[np.intp]
    values: NDArray[np.float64]
    hand: NDArray[np.float64]
    known_ratio: float


def read_tokens(text: str) -> list[str]:
    """Return the words and the single punctuation marks of a text as far as TEXT_LIMIT: NFKC, case folded, in order."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", text[:TEXT_LIMIT]).casefold())


def read_terms(text: str) -> list[str]:
    """Return the terms that TF-IDF counts: every token, then every pair of neighbours joined by one space."""
    tokens = read_tokens(text)
    return tokens + [f"{first} {second}" for first, second in pairwise(tokens)]


def measure_text(text: str) -> list[float]:
    """Return the raw hand features of a text, in the order of HAND_NAMES; finite for every text."""
    return _measure(text[:TEXT_LIMIT], read_tokens(text))


@dataclass(frozen=True, eq=False)
class Featuriser:
    """A frozen vocabulary with its weights, and the scale of the hand features.

    ``terms`` are distinct; ``idf`` has their shape; ``hand_mean`` and ``hand_scale`` have the shape of HAND_NAMES.
    """

    terms: tuple[str, ...]
    idf: NDArray[np.float64]
    hand_mean: NDArray[np.float64]
    hand_scale: NDArray[np.float64]
    _word_places: dict[str, int] = field(init=False, repr=False)
    _pair_places: dict[tuple[str, ...], int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the terms, once; pairs by their two words, which is faster to look up than to join."""
        places = {term: place for place, term in enumerate(self.terms)}
        pairs = {tuple(term.split(" ")): place for term, place in places.items() if " " in term}
        object.__setattr__(self, "_word_places", {term: place for term, place in places.items() if " " not in term})
        object.__setattr__(self, "_pair_places", pairs)

    def transform(self, text: str) -> Features:
        """Return the features of one text.

        ``values`` are (1 + ln count) x idf over the known terms, L2-normalised, as scikit-learn's
        ``TfidfVectorizer(analyzer=read_terms, sublinear_tf=True)`` weighs them; ``indices`` are distinct, in no order;
        ``hand`` is standardised and clipped; ``known_ratio`` is the share of the alphabetic words that the vocabulary
        holds, of all tokens where there is no such word, and 0 where there is no token.
        """
        tokens = read_tokens(text)
        word_places = list(map(self._word_places.get, tokens))
        pair_places = map(self._pair_places.get, pairwise(tokens))
        indices, values = self._weigh(Counter(chain(word_places, pair_places)))
        hand = (np.array(_measure(text[:TEXT_LIMIT], tokens)) - self.hand_mean) / self.hand_scale
        hand = np.minimum(np.maximum(hand, -HAND_LIMIT), HAND_LIMIT)
        judged = list(compress(word_places, map(str.isalpha, tokens))) or word_places
        known_ratio = 1.0 - judged.count(None) / len(judged) if judged else 0.0
        return Features(indices, values, hand, known_ratio)

    def _weigh(self, counts: Counter[int | None]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the places and L2-normalised weights of the known terms; None counts the unknown ones."""
        del counts[None]
        indices = np.array(list(counts), dtype=np.intp)
        values = (1.0 + np.log(np.array(list(counts.values()), dtype=np.float64))) * self.idf[indices]
        norm = math.sqrt(values @ values)
        return indices, values / norm if norm else values


def smooth_idf(document_counts: Iterable[int], document_count: int) -> NDArray[np.float64]:
    """Return ln((1 + n) / (1 + df)) + 1 per term: scikit-learn's smoothed inverse document frequency."""
    counts = np.fromiter(document_counts, np.float64)
    return np.log((1.0 + document_count) / (1.0 + counts)) + 1.0


def _measure(text: str, tokens: list[str]) -> list[float]:
    """Return the raw hand features; counting by deletion from bytes is what keeps this in microseconds."""
    raw = text.encode("utf-8", "replace")
    options = [len(option) for option in _OPTION.findall(text)]
    log = math.log1p
    return [
        log(len(text)),
        log(len(tokens)),
        sum(map(len, tokens)) / len(tokens) if tokens else 0.0,
        log(text.count("\n")),
        log(len(text.partition("\n")[0])),
        log(_count(raw, b"0123456789")),
        log(_count(raw, b"+-*/=^<>%")),
        log(_count(raw, b"{}[]();`")),
        log(_count(raw, b"\\$_")),
        _count(raw, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ") / len(raw) if raw else 0.0,
        log(text.count("?")),
        log(sum(map(_NEGATIONS.__contains__, tokens))),
        log(len(options)),
        log(sum(options) / len(options)) if options else 0.0,
    ]


def _count(raw: bytes, marks: bytes) -> int:
    return len(raw) - len(raw.translate(None, marks))
