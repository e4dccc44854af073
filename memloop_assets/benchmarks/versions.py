"""Versions: every suite that was ever in use stays where a name or the beginning of its fingerprint finds it."""

from collections.abc import Sequence
from pathlib import Path

from memloop_assets.benchmarks.suite import BenchmarkSuite, load_suite, versions_folder
from memloop_assets.errors import BadInput

_FIX = "see `memloop benchmark list`"


def saved_suites(path: Path) -> list[BenchmarkSuite]:
    """Return every suite that was ever in use at ``path``, by name and version; raises BadInput for a damaged file."""
    found = {suite.fingerprint: suite for suite in map(load_suite, versions_folder(path).glob("*.json"))}
    if path.exists():
        suite = load_suite(path)
        found[suite.fingerprint] = suite
    return sorted(found.values(), key=lambda suite: (suite.name, suite.version))


def find_suite(path: Path, wanted: str | None = None) -> BenchmarkSuite:
    """Return the suite in use, or the one that a name or the beginning of a version means.

    Of several versions of one name the one in use is meant. Raises BadInput where none or more than one is meant.
    """
    in_use = load_suite(path) if path.exists() else None
    if wanted is None:
        if in_use is None:
            raise BadInput(
                "benchmark", "none is in use", "run `memloop benchmark build` or `memloop benchmark import FILE`"
            )
        return in_use
    suites = saved_suites(path)
    meant = [suite for suite in suites if wanted == suite.name]
    meant = [suite for suite in meant if in_use and suite.fingerprint == in_use.fingerprint] or meant
    meant = meant or [suite for suite in suites if wanted and suite.fingerprint.startswith(wanted)]
    if len(meant) != 1:
        culprit = f"{wanted!r} means {_listed(meant)}" if meant else f"none is called {wanted!r}"
        raise BadInput("benchmark", culprit, f"name a version; {_FIX}" if meant else _FIX)
    return meant[0]


def _listed(suites: Sequence[BenchmarkSuite]) -> str:
    return ", ".join(f"{suite.name} {suite.version}" for suite in suites)
