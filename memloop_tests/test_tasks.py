"""Task identity: what counts as one task, and a split that is the same on every machine and for ever."""

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memloop_assets.tasks import normalise_task, split_of_task, task_key

ANY_TEXT = st.text(alphabet=st.characters(), max_size=60)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("  Cancel\tmy \n\n order ", "cancel my order"),
        ("Cancel\u00a0my\u2003order\u3000", "cancel my order"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("ﬁx it", "fix it"),
        ("①②③", "123"),
        ("\uff26\uff35\uff2c\uff2c\u3000\uff57\uff49\uff44\uff54\uff48", "full width"),
        ("Ångström", "ångström"),
        ("A\u030angstro\u0308m", "ångström"),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        ("İstanbul", "i\u0307stanbul"),
        ("", ""),
        (" \n\t ", ""),
        ("refund $5!", "refund $5!"),
    ],
)
def test_case_form_and_white_space_do_not_make_another_task(written: str, normal: str) -> None:
    assert normalise_task(written) == normal
    assert task_key(written) == task_key(normal)


def test_words_punctuation_and_digits_do_make_another_task() -> None:
    texts = ["cancel order 1", "cancel order 2", "cancel order", "cancel order?", "cancelorder", "órder", "order", ""]
    assert len({task_key(text) for text in texts}) == len(texts)


@given(ANY_TEXT)
def test_normalising_twice_changes_nothing_more_about_the_task(text: str) -> None:
    assert task_key(normalise_task(text)) == task_key(text)


@given(ANY_TEXT, st.sampled_from(["", " ", "\n", "\u2003"]))
def test_padding_a_text_keeps_its_task_and_its_side(text: str, padding: str) -> None:
    padded = padding + text + padding
    assert task_key(padded) == task_key(text)
    assert split_of_task(padded, 0.4, "s") == split_of_task(text, 0.4, "s")


@given(st.text(alphabet=st.characters(categories=["Cs", "L"]), min_size=1, max_size=5), st.floats(0, 1))
def test_lone_surrogates_have_a_key_and_a_side_like_any_text(text: str, share: float) -> None:
    assert len(task_key(text)) == 32
    assert split_of_task(text, share) in ("practice", "holdout")


def test_keys_and_sides_are_the_ones_recorded_in_every_suite_ever_imported() -> None:
    """A change here moves tasks between training and holdout of every existing home: never change these values."""
    golden = {
        "": ("e3b0c44298fc1c149afbf4c8996fb924", "holdout"),
        "Cancel my order": ("670aac36f22d2c83bc0b7635466c6e99", "holdout"),
        "What is the capital of France?": ("c990cc06e5e77570e5f03360426d2b7f", "practice"),
        "Übersetze „Straße“ ins Englische": ("c0d53fe96dafb48707a4741c047a546e", "practice"),
        "\ud800": ("91a681b998555fb475479817b126c94e", "practice"),
    }
    assert {text: (task_key(text), split_of_task(text, 0.5, "salt")) for text in golden} == golden


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_the_holdout_has_the_share_that_was_asked_for(share: float) -> None:
    drawn = random.Random(7)  # noqa: S311  # drawn texts, no secrets
    texts = {"".join(drawn.choices(string.ascii_lowercase + " ", k=24)) for _ in range(20_000)}
    held = sum(split_of_task(text, share) == "holdout" for text in texts) / len(texts)
    assert abs(held - share) < 0.011  # 3 standard deviations at a share of one half


def test_no_share_holds_nothing_out_and_the_whole_share_everything() -> None:
    texts = [f"task {number}" for number in range(200)]
    assert {split_of_task(text, 0.0) for text in texts} == {"practice"}
    assert {split_of_task(text, 1.0) for text in texts} == {"holdout"}


@given(ANY_TEXT, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_only_adds_to_the_holdout(text: str, one: float, other: float) -> None:
    smaller, larger = sorted((one, other))
    if split_of_task(text, smaller) == "holdout":
        assert split_of_task(text, larger) == "holdout"


def test_another_salt_splits_independently() -> None:
    texts = [f"task {number}" for number in range(4000)]
    same = sum(split_of_task(text, 0.5, "a") == split_of_task(text, 0.5, "b") for text in texts)
    assert 0.47 < same / len(texts) < 0.53
