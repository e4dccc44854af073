"""The lock file is what `make` and CI install from: it must satisfy pyproject.toml, and name packages alone."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from memloop_tests.architecture.source_tree import ROOT

NEVER = {"torch", "transformers", "tensorflow", "openai", "anthropic"}


def lock_text() -> str:
    return (ROOT / "requirements.lock").read_text(encoding="utf-8")


def locked() -> dict[str, str]:
    lines = (line for line in lock_text().splitlines() if line and not line.startswith("#"))
    requirements = [Requirement(line) for line in lines]
    assert all(re.fullmatch(r"==[\w.+]+", str(requirement.specifier)) for requirement in requirements)
    return {canonicalize_name(found.name): str(found.specifier).removeprefix("==") for found in requirements}


def test_the_lock_satisfies_every_requirement_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = locked()
    for line in project["dependencies"] + project["optional-dependencies"]["dev"]:
        wanted = Requirement(line)
        assert versions[canonicalize_name(wanted.name)] in wanted.specifier, line


def test_the_lock_names_no_host_no_path_and_nothing_that_needs_a_model() -> None:
    text = lock_text()
    assert "://" not in text
    assert " @ " not in text
    assert not re.search(r"^-", text, re.MULTILINE)
    assert not NEVER & set(locked())
