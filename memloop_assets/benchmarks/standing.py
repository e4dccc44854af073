"""Whether a home has a benchmark of its own, and the words for where it has none, which are the same on every page."""

from functools import cache
from pathlib import Path

from memloop_assets.benchmarks.suite import BenchmarkSuite, default_suite

HOW_TO_GET_ONE = (
    "build one from your logs with `memloop benchmark build`, or import one with `memloop benchmark import FILE`"
)


def is_own(suite: BenchmarkSuite) -> bool:
    """Tell whether a suite is anybody's own: any but the one that ships with memloop, whose outcomes are made up."""
    return suite.fingerprint != default_fingerprint()


@cache
def default_fingerprint() -> str:
    """Return the fingerprint of the suite that ships with memloop."""
    return default_suite().fingerprint


def no_own_benchmark() -> str:
    """Return the line that says what the gate lacks without a benchmark of one's own, and how to get one."""
    made_up = f"the {len(default_suite().tasks)} made-up tasks that ship with memloop only let the loop run"
    return (
        f"No benchmark of your own, so only live logs that explore can promote a router ({made_up}): {HOW_TO_GET_ONE}."
    )


def shortage_of(path: Path) -> str | None:
    """Return that line for a home whose suite would lie at ``path``, None where one lies there."""
    return None if path.exists() else no_own_benchmark()
