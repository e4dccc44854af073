"""Text to numbers: what is a term, what a text is worth, and that scikit-learn weighs the same words the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from memloop_assets.featuriser import (
    HAND_LIMIT,
    HAND_NAMES,
    TEXT_LIMIT,
    Featuriser,
    measure_text,
    read_terms,
    read_tokens,
    smooth_idf,
)

WORDS = ("cat", "sat", "mat", "dog", "refund", "übermut", "ﬁne", "Straße", "3.5", "x+y=2?", "don't", "\n", "A. yes")
TEXTS = st.one_of(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join), st.text(max_size=80))


def frozen(documents: list[str]) -> Featuriser:
    """A featuriser whose vocabulary is every term of the documents."""
    found = [set(read_terms(text)) for text in documents]
    terms = tuple(sorted(set().union(*found)))
    return Featuriser(
        terms=terms,
        idf=smooth_idf([sum(term in one for one in found) for term in terms], len(documents)),
        hand_mean=np.zeros(len(HAND_NAMES)),
        hand_scale=np.ones(len(HAND_NAMES)),
    )


def dense(featuriser: Featuriser, text: str) -> np.ndarray:
    row = np.zeros(len(featuriser.terms))
    found = featuriser.transform(text)
    row[found.indices] = found.values
    return row


def hand(text: str) -> dict[str, float]:
    return dict(zip(HAND_NAMES, measure_text(text), strict=True))


@given(documents=st.lists(TEXTS, min_size=1, max_size=8).filter(lambda texts: any(map(read_terms, texts))), text=TEXTS)
@settings(max_examples=150, deadline=None)
def test_scikit_learn_weighs_every_text_the_same(documents: list[str], text: str) -> None:
    featuriser = frozen(documents)
    theirs = TfidfVectorizer(analyzer=read_terms, sublinear_tf=True).fit(documents)
    assert tuple(theirs.get_feature_names_out()) == featuriser.terms
    for one in [*documents, text]:
        np.testing.assert_allclose(dense(featuriser, one), theirs.transform([one]).toarray()[0], rtol=0, atol=1e-12)


def test_terms_are_words_marks_and_neighbouring_pairs() -> None:
    assert read_terms("Don't  PAY\n2+2") == [
        *("don", "'", "t", "pay", "2", "+", "2"),
        *("don '", "' t", "t pay", "pay 2", "2 +", "+ 2"),
    ]


def test_compatible_characters_and_case_are_one_word() -> None:
    assert read_tokens("ﬁne STRASSE") == read_tokens("FINE straße") == ["fine", "strasse"]


def test_an_empty_text_is_all_zero_and_unknown() -> None:
    found = frozen(["the cat sat"]).transform("")
    assert (found.indices.size, found.values.size, found.known_ratio) == (0, 0, 0.0)
    assert found.hand.tolist() == [0.0] * len(HAND_NAMES)


def test_a_pair_ends_where_its_text_ends_however_many_texts_are_asked_for_at_once() -> None:
    featuriser = frozen(["sat dog", "the cat"])
    found = featuriser.transform_all(["the cat sat", "", "dog"])
    assert [len(one.indices) for one in found] == [4, 0, 1]


@given(
    texts=st.lists(TEXTS, max_size=8),
    known=st.lists(TEXTS, min_size=1, max_size=3),
    left_out=st.sets(st.integers(0, 40)),
)
def test_many_texts_at_once_get_the_same_bits_as_one_by_one(
    texts: list[str], known: list[str], left_out: set[int]
) -> None:
    whole = frozen(known)
    kept = [place for place in range(len(whole.terms)) if place not in left_out]  # pairs may outlive their words
    terms = tuple(whole.terms[place] for place in kept)
    featuriser = Featuriser(terms, whole.idf[kept], whole.hand_mean, whole.hand_scale)
    texts = [*texts, *known, *texts] * 5  # more than one block
    for found, text in zip(featuriser.transform_all(texts), texts, strict=True):
        alone = featuriser.transform(text)
        assert [part.tobytes() for part in found[:3]] == [part.tobytes() for part in alone[:3]]
        assert found.known_ratio == alone.known_ratio


def test_unseen_words_weigh_nothing() -> None:
    featuriser = frozen(["the cat sat", "the dog"])
    assert dense(featuriser, "quux").any() == np.False_
    np.testing.assert_array_equal(dense(featuriser, "cat quux"), dense(featuriser, "cat"))


@pytest.mark.parametrize(
    ("text", "known"),
    [("cat sat", 1.0), ("cat sat quux zork", 0.5), ("cat 17 ?!", 1.0), ("quux", 0.0), ("17 ?", 0.0), ("99 cats", 0.0)],
)
def test_the_known_ratio_counts_words_not_numbers_or_marks(text: str, known: float) -> None:
    assert frozen(["the cat sat"]).transform(text).known_ratio == known


def test_without_any_word_the_known_ratio_counts_all_tokens() -> None:
    assert frozen(["2 + 2"]).transform("2 + 3").known_ratio == pytest.approx(2 / 3)


def test_hand_features_measure_what_their_names_say() -> None:
    found = hand("Which is NOT 4+4?\nA. eight\n(B) nine!\n```x = $y$;```")
    # 17 characters on the first line; A. and (B) open options of 5 characters each
    expected = {
        "first_line_log": np.log1p(17),
        "line_breaks_log": np.log1p(3),
        "digits_log": np.log1p(2),
        "operators_log": np.log1p(2),
        "code_marks_log": np.log1p(9),
        "math_marks_log": np.log1p(2),
        "questions_log": np.log1p(1),
        "negations_log": np.log1p(1),
        "options_log": np.log1p(2),
        "option_length_log": np.log1p(5),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_hand_features_are_standardised_with_the_saved_scale_and_clipped() -> None:
    raw = np.array(measure_text("a cat"))
    scale = np.full(len(HAND_NAMES), 1e-6)
    featuriser = Featuriser((), np.empty(0), raw, scale)
    assert featuriser.transform("a cat").hand.tolist() == [0.0] * len(HAND_NAMES)
    assert featuriser.transform("a very much longer cat").hand[0] == HAND_LIMIT
    assert featuriser.transform("").hand[0] == -HAND_LIMIT


def test_only_the_head_of_an_endless_text_is_read() -> None:
    featuriser = frozen(["the cat sat", "tail"])
    head = "cat " * (TEXT_LIMIT // 4)
    assert dense(featuriser, head + "tail")[featuriser.terms.index("tail")] == 0.0
    assert measure_text(head + "tail") == measure_text(head)


@given(text=st.text())
def test_every_text_has_finite_features_even_with_lone_surrogates(text: str) -> None:
    found = frozen(["the cat sat"]).transform(text + "\ud800")
    assert np.isfinite(found.values).all()
    assert np.isfinite(found.hand).all()
    assert 0.0 <= found.known_ratio <= 1.0
