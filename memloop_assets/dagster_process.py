"""Dagster as other processes: the environment they need, the backfill, and the UI. Nothing here imports Dagster."""

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NoReturn

from memloop_assets.errors import BadInput
from memloop_assets.store import write_atomically
from memloop_assets.weeks import IsoWeek

NOTHING_RAN = 2
"""Exit status of a backfill that ended before its run did, after one line that says why: refused weeks, a fault of the disk."""

_INSTANCE_FILE = "dagster.yaml"
_HOST = "127.0.0.1"
_LAST_PORT = 65_535
_PORT_FIXES = {
    errno.EADDRINUSE: "stop what is served there, or name another port",
    errno.EACCES: "name a port from 1024 on",
}


def prepare_instance(home: Path) -> dict[str, str]:
    """Give a home its ``dagster.yaml`` where it has none; return the environment under which Dagster serves that home."""
    home.mkdir(parents=True, exist_ok=True)
    target = home / _INSTANCE_FILE
    if not target.exists():
        write_atomically(target, resources.files("memloop_assets").joinpath("dagster_instance.yaml").read_bytes())
    return {"DAGSTER_HOME": str(home), "MEMLOOP_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}


def run_backfill(
    home: Path, first: IsoWeek, last: IsoWeek, environment: Mapping[str, str], flags: Sequence[str] = ()
) -> int:
    """Run every asset for a range of weeks in one run of one process; return its exit status: 0, 1 (it failed) or NOTHING_RAN.

    ``flags``: ``--dry-run``, ``--no-resume``.
    """
    command = [sys.executable, "-m", "memloop_assets.orchestration.backfill", str(first), str(last), *flags]
    return subprocess.run(command, cwd=home, env={**environment, **prepare_instance(home)}, check=False).returncode


def run_forget(home: Path, user: str, environment: Mapping[str, str]) -> int:
    """Forget a person while no run of the home writes; return the exit status. The id travels on standard input."""
    command = [sys.executable, "-m", "memloop_assets.orchestration.forget"]
    changed = prepare_instance(home)
    return subprocess.run(
        command, cwd=home, env={**environment, **changed}, input=f"{user}\n", text=True, check=False
    ).returncode


def become_ui(home: Path, port: int, environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by ``dagster dev`` (UI and daemon) for a home, with its signals at their defaults.

    Started from a script in the background, a process inherits ignored signals, under which ``dagster dev`` would never stop.
    Raises BadInput where Dagster is not installed beside this Python, and for a port that cannot be served.
    """
    _refuse_port(port)
    dagster = Path(sys.executable).with_name("dagster")
    if not dagster.exists():
        raise BadInput(
            "Dagster",
            f"{dagster.name} is not installed beside {sys.executable}",
            "install memloop with its dependencies",
        )
    changed = prepare_instance(home)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir(home)
    command = [str(dagster), "dev", "-m", "memloop_assets.definitions", "-h", _HOST, "-p", str(port)]
    os.execve(dagster, command, {**environment, **changed})


def _refuse_port(port: int) -> None:
    """Raise BadInput for a port that is none or that cannot be listened on: ``dagster dev`` would wait for its server for ever."""
    if not 1 <= port <= _LAST_PORT:
        raise BadInput("--port", f"{port} is no port", f"use a number from 1 to {_LAST_PORT:,}, as 3000")
    with socket.socket() as asked:
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: a port just left is free
        try:
            asked.bind((_HOST, port))
        except OSError as error:
            fix = _PORT_FIXES.get(error.errno or 0, "name another port")
            raise BadInput("--port", f"{port} cannot be used ({error.strerror})", fix) from error
