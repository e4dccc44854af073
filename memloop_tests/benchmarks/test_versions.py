"""Versions of a benchmark: none is lost when another comes into use, and each is found by name or fingerprint."""

from pathlib import Path

import pytest

from memloop_assets.benchmarks.standing import is_own, no_own_benchmark, shortage_of
from memloop_assets.benchmarks.suite import (
    ArmOutcome,
    BenchmarkSuite,
    BenchmarkTask,
    default_suite,
    load_suite,
    save_suite,
)
from memloop_assets.benchmarks.versions import find_suite, saved_suites
from memloop_assets.errors import BadInput
from memloop_assets.tasks import split_of_task


def named(name: str, reward: float = 1.0) -> BenchmarkSuite:
    task = BenchmarkTask("t", "Do", None, split_of_task("Do", 0.5), {"small": ArmOutcome(reward)})
    return BenchmarkSuite(name, (task,))


def test_a_suite_that_was_replaced_is_still_there_under_its_version(tmp_path: Path) -> None:
    path = tmp_path / "suite.json"
    old, new = named("own", 0.25), named("own", 0.75)
    for suite in (old, new, new):
        save_suite(suite, path)
    assert load_suite(path) == new
    assert saved_suites(path) == sorted([old, new], key=lambda suite: suite.version)
    assert find_suite(path) == find_suite(path, "own") == new, "of two of one name the one in use"
    assert find_suite(path, old.version) == find_suite(path, old.fingerprint[:6]) == old


def test_a_name_that_means_none_or_several_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "suite.json"
    with pytest.raises(BadInput, match="none is in use"):
        find_suite(path)
    for suite in (named("own", 0.25), named("own", 0.75), named("other")):
        save_suite(suite, path)
    with pytest.raises(BadInput, match=r"means own [0-9a-f]{12}, own [0-9a-f]{12}"):
        find_suite(path, "own")
    for wanted in ("mine", ""):
        with pytest.raises(BadInput, match="none is called"):
            find_suite(path, wanted)


def test_a_suite_whose_version_file_was_lost_is_found_while_it_is_in_use(tmp_path: Path) -> None:
    path, suite = tmp_path / "suite.json", named("own")
    save_suite(suite, path)
    (tmp_path / "versions" / f"{suite.version}.json").unlink()
    assert saved_suites(path) == [find_suite(path, "own")] == [suite]


def test_the_suite_that_ships_with_memloop_is_nobodys_own(tmp_path: Path) -> None:
    assert not is_own(default_suite())
    assert is_own(named("memloop-seed"))
    assert shortage_of(tmp_path / "suite.json") == no_own_benchmark()
    for command in ("memloop benchmark build", "memloop benchmark import FILE"):
        assert command in no_own_benchmark()
    save_suite(named("own"), tmp_path / "suite.json")
    assert shortage_of(tmp_path / "suite.json") is None
