"""Many numbers looked up at once, as a dictionary would look up each."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from memloop_assets.number_table import NumberTable

NUMBERS = st.one_of(st.integers(0, 50), st.integers(0, 2**40))


@given(held=st.dictionaries(NUMBERS, st.integers(0, 2**31), max_size=60), asked=st.lists(NUMBERS, max_size=30))
@example(held={}, asked=[0, 1])
def test_every_number_finds_what_is_held_under_it_and_no_other_finds_any(
    held: dict[int, int], asked: list[int]
) -> None:
    keys, values = (np.array(list(part), dtype=np.int64) for part in (held.keys(), held.values()))
    every = [*asked, *held]
    found = NumberTable(keys, values).find(np.array(every, dtype=np.int64))
    assert found.tolist() == [held.get(number, -1) for number in every]


def test_a_crowded_bucket_still_tells_its_numbers_apart() -> None:
    keys = np.random.default_rng(0).permutation(20_000).astype(np.int64) * 4_001
    table = NumberTable(keys, np.arange(20_000))
    assert table.find(keys).tolist() == list(range(20_000))
    assert set(table.find(keys + 1).tolist()) == {-1}
