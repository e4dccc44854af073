"""The parser of commands: mistakes are named like every other, in one line, with what was probably meant.

How any command line is read. Which commands there are is said in ``cli`` and ``benchmark_commands``.
"""

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from memloop_assets.errors import BadInput, did_you_mean

_CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)", re.DOTALL)
_UNKNOWN = re.compile(r"unrecognized arguments: (-[^\s=]+)")
_OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
_NAME = re.compile(r"[\w.-]+")


class CommandParser(argparse.ArgumentParser):
    """A parser that raises BadInput for a mistake, and reads ``--home`` before a command as well as behind it."""

    def __init__(self, **how: Any) -> None:
        """Make a parser as argparse does, without abbreviations: what is typed wrong is not guessed."""
        super().__init__(**how, allow_abbrev=False)
        self.add_argument(
            "--home",
            default=argparse.SUPPRESS,
            metavar="FOLDER",
            help="folder of memloop.toml (default: MEMLOOP_HOME, else the current folder)",
        )

    # argparse calls it for each command with what is left for it: here an unknown option is named beside its own command.
    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]  # as overloads
        """Read what this parser knows; raises BadInput for anything else."""
        read, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return read, unknown

    def error(self, message: str) -> NoReturn:
        """Raise BadInput instead of printing the usage and leaving."""
        fix = f"see `{self.prog} --help`"
        if choice := _CHOICE.search(message):
            fix = did_you_mean(choice[1], _NAME.findall(choice[2])) or fix
        elif unknown := _UNKNOWN.search(message):
            fix = did_you_mean(unknown[1], _OPTION.findall(self.format_usage())) or fix
        raise BadInput(self.prog.removeprefix("memloop").strip() or "command line", message, fix)
