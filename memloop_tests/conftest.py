"""What holds for every test: hypothesis looks at the same examples on every machine, and times none of them.

The first week is told before anything imports the partitions, which read it while they are imported.
"""

import os

import pytest
from hypothesis import settings

settings.register_profile("memloop", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("memloop")

os.environ["MEMLOOP_FIRST_WEEK"] = "2026-W02"
os.environ.pop("MEMLOOP_HOME", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write the golden files anew instead of comparing")
