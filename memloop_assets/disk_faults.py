"""Faults of the disk: full, read-only, failing. SQLite and the libraries over it tell them in their own words; here they become one error.

Knows what such a fault looks like, not what was being read or written, nor what to do then.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memloop_assets.errors import DiskFault, MemloopError

_FULL = "make room, then run the same command again: what was finished stays"
_READ_ONLY = "make it writable, or name another home, then run the same command again"
_FAILING = "see that the disk is sound and has room, then run the same command again"
_FIXES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EIO: _FAILING,
}
_SQLITE_FIXES = {
    "SQLITE_FULL": _FULL,
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_IOERR": _FAILING,
    "SQLITE_CANTOPEN": _READ_ONLY,
}


def is_of_home(error: Exception) -> bool:
    """Tell whether an error says that nothing can be written: the disk of the home is full or read-only, whichever log is read."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def find_disk_fault(error: BaseException, where: Path) -> DiskFault | None:
    """Return the disk's fault that an error is, or was raised from; None where it is none. ``where``: the path where none is told."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DiskFault):
            return cause
        if isinstance(cause, OSError):
            fix = _FIXES.get(cause.errno or 0, "check the path, its permissions and the disk")
            return DiskFault(str(cause.filename or where), cause.strerror or str(cause), fix)
        name = getattr(cause, "sqlite_errorname", "")
        for start, fix in _SQLITE_FIXES.items():
            if name.startswith(start):
                return DiskFault(str(where), str(cause), fix)
        cause = cause.__cause__
    return None


@contextmanager
def naming_disk_faults(where: Path) -> Iterator[None]:
    """Raise what the disk does to the work inside as DiskFault; every other error passes as it is."""
    try:
        yield
    except MemloopError:
        raise
    except Exception as error:
        fault = find_disk_fault(error, where)
        if fault is None:
            raise
        raise fault from error
