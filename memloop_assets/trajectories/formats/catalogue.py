"""The list of log formats that memloop reads, by the name that people type."""

from collections.abc import Mapping

from memloop_assets.errors import BadInput
from memloop_assets.trajectories.formats.claude_code import ClaudeCodeReader
from memloop_assets.trajectories.formats.native import NativeReader
from memloop_assets.trajectories.formats.openai_chat import OpenAIChatReader
from memloop_assets.trajectories.formats.otlp import OtlpReader
from memloop_assets.trajectories.formats.reader import Reader
from memloop_assets.trajectories.formats.tau_bench import TauBenchReader

READERS: Mapping[str, Reader] = {
    reader.name: reader
    for reader in (NativeReader(), TauBenchReader(), OpenAIChatReader(), ClaudeCodeReader(), OtlpReader())
}

LINE_BY_LINE = frozenset({"native"})
"""Formats of which every line is read by itself: where such a file has grown, reading its tail is enough."""


def reader_for(name: str) -> Reader:
    """Return the reader of a format; raises BadInput for a name that no reader has."""
    if name not in READERS:
        raise BadInput("log format", f"{name!r} is not known", f"use one of {', '.join(READERS)}")
    return READERS[name]
