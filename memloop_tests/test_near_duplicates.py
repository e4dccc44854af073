"""Near-duplicates: small edits are found, other tasks and other numbers are not, and a crowd stays cheap."""

import random

import pytest

from memloop_assets.near_duplicates import NearDuplicateIndex, mark_near_duplicates

TASK = "Please cancel the order that I placed on Monday and send the money back to the card that I paid with."


@pytest.mark.parametrize(
    "edited",
    [
        TASK.upper(),
        TASK.replace(" ", "\n  "),
        TASK.replace(".", "!!"),
        f"Hello, {TASK}",
        TASK.replace("Monday", "monday").replace("placed", "plced"),
        TASK.replace("money", "cash"),
    ],
)
def test_small_edits_are_near_duplicates(edited: str) -> None:
    assert NearDuplicateIndex([TASK]).find(edited) == 0


@pytest.mark.parametrize(
    "other",
    ["", "Please cancel the order.", "Where is the parcel that I sent to my sister in Ghent a week ago?", TASK[::-1]],
)
def test_other_tasks_are_not(other: str) -> None:
    assert NearDuplicateIndex([TASK]).find(other) is None


def test_other_numbers_make_another_task() -> None:
    numbered = f"{TASK} It is order 17."
    assert NearDuplicateIndex([numbered]).find(numbered.replace("17", "18")) is None
    assert NearDuplicateIndex([numbered]).find(numbered.replace("It is", "it's")) == 0


def test_a_mark_names_the_first_of_its_kind() -> None:
    texts = [TASK, "Where is it?", f"{TASK} Thanks", "", f"Hi! {TASK}", "", "where is it"]
    assert mark_near_duplicates(texts) == [None, None, 0, None, 0, 3, 1]
    assert mark_near_duplicates([]) == []


@pytest.mark.parametrize(
    "text", ["ab", "日本語の課題です、注文を取り消してください", "\ud800 half a pair of surrogates"]
)
def test_any_text_is_its_own_near_duplicate(text: str) -> None:
    assert NearDuplicateIndex([TASK, text]).find(text) == 1


def test_the_index_agrees_with_comparing_every_pair() -> None:
    drawn = random.Random(1)  # noqa: S311  # it draws words
    words = sorted(set(TASK.split()))
    texts = [" ".join(drawn.choices(words, k=20)) for _ in range(60)]
    texts += [" ".join(word for word in text.split() if drawn.random() > 0.03) for text in texts]

    def sets(text: str) -> set[str]:
        plain = text.casefold().replace(".", "").strip()
        return {plain[place : place + 5] for place in range(len(plain) - 4)}

    def similarity(one: str, other: str) -> float:
        return len(sets(one) & sets(other)) / len(sets(one) | sets(other))

    found = [NearDuplicateIndex([one]).find(other) == 0 for one in texts for other in texts]
    true = [similarity(one, other) >= 0.8 for one in texts for other in texts]
    assert found == true
    assert 120 < sum(true) < 300


@pytest.mark.parametrize("count", [4, 8, 12, 40, 100, 101, 250, 1_000])
def test_texts_as_unlike_in_length_as_similar_ones_can_be_are_found_from_both_sides(count: int) -> None:
    drawn = random.Random(2)  # noqa: S311  # it draws letters
    longer = "".join(drawn.choices("abcdefghijklmnopqrstuvwxyz", k=count // 4 * 5 + 4))
    shorter = longer[: count // 4 * 4 + 4]  # four fifths of the longer one's runs of five, all shared
    assert NearDuplicateIndex([longer]).find_similar(shorter) == (0, 0.8)
    assert NearDuplicateIndex([shorter]).find_similar(longer) == (0, 0.8)
    assert NearDuplicateIndex([shorter[: len(shorter) // 2]]).find(longer) is None
