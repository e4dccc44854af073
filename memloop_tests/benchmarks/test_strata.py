"""Strata: which one a task belongs to, and a difference in each."""

import numpy as np
import pytest

from memloop_assets.benchmarks.strata import difference_by_stratum, strata_of_tasks
from memloop_assets.errors import BadInput


def test_a_task_is_repeated_in_distribution_unseen_or_unlabelled() -> None:
    strata = strata_of_tasks(
        ("k1", "k2", "k3", "k4", "k5"), ("law", "law", "physics", None, None), {"k1", "k5"}, ["law", None]
    )
    assert strata == ("repeated", "in-distribution", "unseen", "unlabelled", "repeated")


def test_a_difference_in_each_stratum_by_hand() -> None:
    first, second = np.array([1.0, 1.0, 0.0, 0.5, 1.0]), np.array([0.0, 1.0, 1.0, 0.5, 0.0])
    found = difference_by_stratum(first, second, ("law", "law", "art", "art", None), list("abcde"))
    assert list(found) == ["art", "law"]
    assert (found["art"].mean, found["law"].mean) == (-0.5, 0.5)
    assert (found["law"].lower, found["law"].upper, found["law"].n) == (0.0, 1.0, 2)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(BadInput, match="2 keys and 1 domains"):
        strata_of_tasks(("a", "b"), ("law",), (), ())
    with pytest.raises(BadInput, match="3 strata"):
        difference_by_stratum(np.ones(2), np.ones(2), ("x", "y", "z"), ("a", "b"))


def test_no_task_has_no_stratum() -> None:
    assert strata_of_tasks((), (), (), ()) == ()
    assert difference_by_stratum(np.ones(0), np.ones(0), (), ()) == {}
