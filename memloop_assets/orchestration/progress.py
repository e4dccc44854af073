"""Progress of a run on the terminal: one line that is rewritten where there is a terminal, one plain line per asset where not."""

import logging
from typing import TextIO


class ProgressPrinter(logging.Handler):
    """Prints what the week loop tells: records whose ``week_step`` is (asset, week, number, count, outcome, is_failed)."""

    def __init__(self, stream: TextIO) -> None:
        """Keep the stream; whether it is a terminal decides how to print."""
        super().__init__()
        self._stream = stream
        self._is_terminal = stream.isatty()

    def emit(self, record: logging.LogRecord) -> None:
        """Print one step: every step on a terminal, else the last of each asset, and every failed one anywhere."""
        asset, week, number, count, outcome, is_failed = record.week_step  # type: ignore[attr-defined]  # set by the week loop
        text = f"  {asset:<20} {week}  {number:>3}/{count}  {outcome}"
        if is_failed or number == count:
            self._write(text, ends_line=True)
        elif self._is_terminal:
            self._write(text, ends_line=False)

    def finish(self) -> None:
        """End a line that is still open."""
        if self._is_terminal:
            self._stream.write("\r\033[K")
        self._stream.flush()

    def _write(self, text: str, *, ends_line: bool) -> None:
        start = "\r\033[K" if self._is_terminal else ""
        shown = text if ends_line else text[:100]
        self._stream.write(f"{start}{shown}{chr(10) if ends_line else ''}")
        self._stream.flush()
