"""Runs the programs of this folder that need packages of the extra `interop`, each in a process of its own.

A process of its own keeps what such packages patch, warn about and load out of the other tests.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec

import pytest

from memloop_tests.architecture.source_tree import ROOT

NEEDS: Mapping[str, tuple[str, ...]] = {
    "emit_otlp": ("openai", "opentelemetry.instrumentation.openai_v2", "opentelemetry.exporter.otlp.proto.common"),
    "emit_litellm": ("litellm",),
    "load_training_file": ("datasets", "trl", "transformers"),
}


ALONE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}
"""No program looks for anything but its own server on loopback."""


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def missing_for(program: str) -> str:
    """Return why a program cannot run here, empty where it can."""
    missing = [name for name in NEEDS[program] if not _is_installed(name)]
    return f"{missing[0]} is not installed; `make install-interop` installs it" if missing else ""


def printed_by(program: str, *arguments: object, env: Mapping[str, str] | None = None) -> str:
    """Return what a program prints; skips the test where its packages are not installed, fails it with the program's errors."""
    if missing := missing_for(program):
        pytest.skip(missing)
    command = [sys.executable, "-m", f"memloop_tests.interop.{program}", *map(str, arguments)]
    environment = {**os.environ, **ALONE, **(env or {})}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, f"{program} failed:\n{ran.stderr[-3000:]}"
    return ran.stdout
