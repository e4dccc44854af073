"""The lock files are what `make` and CI install from: they must satisfy pyproject.toml, and name packages alone."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from memloop_tests.architecture.source_tree import ROOT

NEVER = {"torch", "transformers", "tensorflow", "openai", "anthropic"}
LOCKS = {"requirements.lock": "dev", "requirements-interop.lock": "interop"}


def lock_text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def locked(name: str = "requirements.lock") -> dict[str, str]:
    lines = (line for line in lock_text(name).splitlines() if line and not line.startswith("#"))
    requirements = [Requirement(line) for line in lines]
    assert all(re.fullmatch(r"==[\w.+]+", str(requirement.specifier)) for requirement in requirements)
    return {canonicalize_name(found.name): str(found.specifier).removeprefix("==") for found in requirements}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_satisfies_every_requirement_of_the_project(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = locked(name)
    for line in project["dependencies"] + project["optional-dependencies"][LOCKS[name]]:
        wanted = Requirement(line)
        assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)], prereleases=True), line


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_host_and_no_path(name: str) -> None:
    text = lock_text(name)
    assert "://" not in text
    assert " @ " not in text
    assert not re.search(r"^-", text, re.MULTILINE)


def test_nothing_that_needs_a_model_is_installed_with_memloop_and_torch_with_nothing() -> None:
    assert not NEVER & set(locked())
    heavy = {
        name for name in locked("requirements-interop.lock") if name.startswith(("torch", "nvidia", "triton", "cuda"))
    }
    assert heavy == set()


def test_the_two_locks_install_into_one_environment() -> None:
    core, interop = locked(), locked("requirements-interop.lock")
    assert {name for name in core.keys() & interop.keys() if core[name] != interop[name]} == set()
