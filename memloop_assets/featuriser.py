"""Text to numbers, frozen per generation: the very same code featurises in training and in serving.

Here belong the tokeniser, the TF-IDF weighting and the hand features. Not here: fitting (``routing/training.py`` counts
the words and takes the means) and everything that is done with the numbers. numpy and the standard library only.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, compress, pairwise, repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memloop_assets.number_table import NumberTable

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

_BLOCK = 64
"""Texts of which the numbers are found in one go: as many as the fast caches hold."""

_TOKEN = re.compile(r"\w+|\S")
_OPTION = re.compile(r"[ \t]*\(?[A-Ja-j1-9][.):][ \t]+(.*)")
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
        ``TfidfVectorizer(analyzer=read_terms, sublinear_tf=True)`` weighs them; ``indices`` are distinct, words before
        pairs, each as they first occur; ``hand`` is standardised and clipped; ``known_ratio`` is the share of the alphabetic
        words that the vocabulary holds, of all tokens where there is no such word, and 0 where there is no token.
        """
        tokens = read_tokens(text)
        word_places = list(map(self._word_places.get, tokens))
        pair_places = map(self._pair_places.get, pairwise(tokens))
        counts = Counter(chain(word_places, pair_places))
        del counts[None]
        indices = np.fromiter(counts, np.intp, len(counts))
        values = self._weigh(indices, np.fromiter(counts.values(), np.float64, len(counts)))
        hand = self._standardise(np.array(_measure(text[:TEXT_LIMIT], tokens)))
        judged = list(compress(word_places, map(str.isalpha, tokens))) or word_places
        return Features(indices, _normalise(values), hand, _known_ratio(judged.count(None), len(judged)))

    def transform_all(self, texts: Sequence[str]) -> list[Features]:
        """Return ``transform`` of many texts: the same numbers to the last bit, faster."""
        blocks = (texts[start : start + _BLOCK] for start in range(0, len(texts), _BLOCK))
        return [one for block in blocks for one in self._transform_block(block)]

    def _transform_block(self, texts: Sequence[str]) -> list[Features]:
        """Return the features of some texts, at least one; numpy works on the tokens of all of them in a row."""
        tokens = [read_tokens(text) for text in texts]
        raw = np.array([_measure(text[:TEXT_LIMIT], own) for text, own in zip(texts, tokens, strict=True)])
        sizes = np.array([len(own) for own in tokens])
        flat = list(chain.from_iterable(tokens))
        table = self._many
        ids = np.fromiter(map(table.ids.get, flat, repeat(len(table.ids))), np.int64, len(flat))
        is_word = table.is_word[ids]
        for place in np.flatnonzero(ids == len(table.ids)).tolist():
            is_word[place] = flat[place].isalpha()
        word_places = table.places[ids]
        bounds = [0, *np.cumsum(sizes).tolist()]
        found = []
        weighed = self._weigh_all(self._lay_out(ids, word_places, sizes), bounds)
        for (indices, values), hand, start, end in zip(
            weighed, self._standardise(raw), bounds, bounds[1:], strict=False
        ):
            is_judged, is_unknown = is_word[start:end], word_places[start:end] < 0
            count = int(np.count_nonzero(is_judged))
            missing = int(np.count_nonzero(is_unknown & is_judged if count else is_unknown))
            found.append(Features(indices, values, hand, _known_ratio(missing, count or end - start)))
        return found

    @cached_property
    def _many(self) -> "_NumberedWords":
        """Return the vocabulary as numbers, made when many texts are first asked for."""
        return _number_words(self._word_places, self._pair_places)

    def _standardise(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.minimum(np.maximum((raw - self.hand_mean) / self.hand_scale, -HAND_LIMIT), HAND_LIMIT)

    def _weigh(self, indices: NDArray[np.intp], counts: NDArray[np.float64]) -> NDArray[np.float64]:
        return (1.0 + np.log(counts)) * self.idf[indices]

    def _lay_out(
        self, ids: NDArray[np.int64], word_places: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the places of all terms, (2 x tokens,): of each text its words, then its pairs and -1; -1 if unknown."""
        places = np.full(2 * ids.size, -1)
        if not ids.size:
            return places
        ends = np.cumsum(sizes)
        word_at = np.arange(ids.size) + np.repeat(ends - sizes, sizes)
        places[word_at] = word_places
        pair_at = (word_at + np.repeat(sizes, sizes))[:-1]
        places[pair_at] = self._many.find_pairs(ids[:-1], ids[1:])
        places[2 * ends[sizes > 0] - 1] = -1  # the last word of a text and the first of the next are no pair
        return places

    def _weigh_all(self, places: NDArray[np.int64], bounds: list[int]) -> Iterator[tuple[NDArray[np.intp], NDArray]]:
        """Yield the distinct places and L2-normalised weights of each text's known terms, as they first occur.

        One sort of (text, place, position) counts the terms of all texts; ``bounds`` are the first tokens of the texts.
        """
        shift = places.size.bit_length()
        at = np.flatnonzero(places >= 0)
        doubled = 2 * np.array(bounds)
        rows = np.searchsorted(doubled[1:], at, side="right")
        sorted_terms = np.sort(((rows * len(self.terms) + places[at]) << shift) | at)
        names = sorted_terms >> shift
        is_first = np.append(True, names[1:] != names[:-1])[: names.size]
        firsts = np.flatnonzero(is_first)
        counts = np.diff(firsts, append=names.size)
        positions = sorted_terms[firsts] & ((1 << shift) - 1)
        order = np.argsort(positions)
        positions = positions[order]
        indices = places[positions]
        values = self._weigh(indices, counts[order].astype(np.float64))
        for start, end in pairwise(np.searchsorted(positions, doubled).tolist()):
            yield indices[start:end], _normalise(values[start:end])


@dataclass(frozen=True, eq=False)
class _NumberedWords:
    """The words of all terms as numbers, ``ids``.

    By number, and one more for unknown words: ``places``, that of the word as a term or -1, and ``is_word``, whether it is
    alphabetic. ``pairs`` finds the place of a pair of words.
    """

    ids: dict[str, int]
    places: NDArray[np.int64]
    is_word: NDArray[np.bool_]
    pairs: NumberTable

    def find_pairs(self, firsts: NDArray[np.int64], seconds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of pairs of words, -1 where a pair is no term."""
        return self.pairs.find(firsts * self.places.size + seconds)


def smooth_idf(document_counts: Iterable[int], document_count: int) -> NDArray[np.float64]:
    """Return ln((1 + n) / (1 + df)) + 1 per term: scikit-learn's smoothed inverse document frequency."""
    counts = np.fromiter(document_counts, np.float64)
    return np.log((1.0 + document_count) / (1.0 + counts)) + 1.0


def _number_words(words: dict[str, int], pairs: dict[tuple[str, ...], int]) -> _NumberedWords:
    twos = {two: place for two, place in pairs.items() if len(two) == 2}
    ids = {word: number for number, word in enumerate(dict.fromkeys([*words, *chain.from_iterable(twos)]))}
    codes = [ids[first] * (len(ids) + 1) + ids[second] for first, second in twos]
    return _NumberedWords(
        ids=ids,
        places=np.array([*(words.get(word, -1) for word in ids), -1], dtype=np.int64),
        is_word=np.array([*map(str.isalpha, ids), False]),
        pairs=NumberTable(np.array(codes, dtype=np.int64), np.array(list(twos.values()), dtype=np.int64)),
    )


def _normalise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    norm = math.sqrt(values @ values)
    return values / norm if norm else values


def _known_ratio(unknown: int, count: int) -> float:
    return 1.0 - unknown / count if count else 0.0


def _measure(text: str, tokens: list[str]) -> list[float]:
    """Return the raw hand features; counting by deletion from bytes is what keeps this in microseconds."""
    raw = text.encode("utf-8", "replace")
    lines = text.split("\n")
    options = [len(found[1]) for found in map(_OPTION.match, lines) if found]
    log = math.log1p
    return [
        log(len(text)),
        log(len(tokens)),
        sum(map(len, tokens)) / len(tokens) if tokens else 0.0,
        log(len(lines) - 1),
        log(len(lines[0])),
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
