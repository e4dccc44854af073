"""The error family: every error a user can cause or meet.

    MemloopError
    ├── BadWeek              a week that was typed wrong or lies outside the calendar
    ├── BadSettings          memloop.toml, or a flag that overrides it
    ├── BadInput             a file or value handed to memloop that it cannot read
    ├── TableError           anything about a weekly table
    │   ├── ContractBroken   rows that break the table's contract or a verdict of its room
    │   ├── InputFailed      an upstream week is missing or ended in an error
    │   ├── CorruptData      bytes on disk that no longer match their recorded hash
    │   └── WriterConflict   two writers of the same week at once
    ├── BadCheckpoint        a router checkpoint that cannot be loaded
    ├── DiskFault            a file that the system would not read or write: a full disk, a read-only home, a failing device
    └── LedgerConflict       a compare-and-set on the ledger that lost its race

Each is built from facts: the thing, the culprit, the fix. Nothing but errors belongs here, and the question that many fixes ask.
"""

import difflib
from collections.abc import Iterable


class MemloopError(Exception):
    """A fault that memloop can name: what is wrong, what caused it, how to mend it.

    >>> print(MemloopError("memloop.toml", "key 'weks' is not known", "did you mean 'weeks'?"))
    memloop.toml: key 'weks' is not known. Fix: did you mean 'weeks'?
    """

    def __init__(self, thing: str, culprit: str, fix: str) -> None:
        """Keep the three facts; the message joins them on one line."""
        self.thing = thing
        self.culprit = culprit
        self.fix = fix
        super().__init__(f"{thing}: {culprit}. Fix: {fix}")


class BadWeek(MemloopError):
    """A week that cannot be read as an ISO week, or is not offered."""


class BadSettings(MemloopError):
    """A setting that is unknown, of the wrong type or out of its bounds."""


class BadInput(MemloopError):
    """A file, folder or value handed to memloop that it cannot use."""


class TableError(MemloopError):
    """Anything that is wrong with one week of one table."""


class ContractBroken(TableError):
    """Rows that break their table's contract or one of its verdicts: nothing was published."""


class InputFailed(TableError):
    """An upstream week that is missing or ended in an error.

    ``root``: the error at the far end of a chain of failed tables, so that it is told once and not once per table between.
    """

    def __init__(self, thing: str, culprit: str, fix: str, root: str = "") -> None:
        """Keep the three facts and the root."""
        super().__init__(thing, culprit, fix)
        self.root = root


class CorruptData(TableError):
    """Bytes on disk that do not match the hash recorded when they were written."""


class WriterConflict(TableError):
    """Two writers of the same week: the later one is refused."""


class BadCheckpoint(MemloopError):
    """A router checkpoint that is missing, altered or of an unknown format."""


class DiskFault(MemloopError):
    """A file or folder that the system would not read or write."""


class LedgerConflict(MemloopError):
    """The ledger moved on between reading it and appending to it."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a fix for a name that is not known: a question after the one that it most resembles, empty where none does.

    >>> did_you_mean("backfil", ["backfill", "status"])
    "did you mean 'backfill'?"
    """
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"did you mean {by_lower[near[0]]!r}?" if near else ""
