"""What others may rely on, spelled out by hand: to change a list here is to change a promise; CHANGELOG.md says it."""

import argparse
import importlib.metadata
import tomllib
from collections.abc import Iterator

import memloop_assets
from memloop_tests.architecture.source_tree import ROOT

CLIENT_NAMES = {"Choice", "Deployment", "Router", "load_champion", "load_deployment"}
COMMANDS = {
    *(f"benchmark {action}" for action in ("build", "import", "list", "show", "use")),
    *("backfill", "demo", "export", "forget", "ingest", "quarantine", "report", "status", "ui"),
}


def commands_of(parser: argparse.ArgumentParser, path: str = "") -> Iterator[str]:
    """Yield every command that a parser accepts, sub-commands with their parent's name before them."""
    choices = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not choices:
        yield path
    for named in choices:
        for name, below in named.items():
            yield from commands_of(below, f"{path} {name}".strip())


def test_an_agent_imports_these_names_from_the_client_and_no_others() -> None:
    from memloop_assets import client

    assert set(client.__all__) == CLIENT_NAMES
    assert all(getattr(client, name).__doc__ for name in CLIENT_NAMES)


def test_the_memloop_command_knows_these_commands_and_no_others() -> None:
    from memloop_assets.cli import build_parser

    assert set(commands_of(build_parser())) == COMMANDS


def test_a_command_inside_a_command_is_listed_with_its_parent() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    commands.add_parser("status")
    commands.add_parser("benchmark").add_subparsers().add_parser("import")
    assert list(commands_of(parser)) == ["status", "benchmark import"]


def test_the_distribution_is_memloop_and_installs_one_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "memloop"
    assert project["scripts"] == {"memloop": "memloop_assets.cli:main"}
    assert importlib.metadata.version("memloop") == memloop_assets.__version__
