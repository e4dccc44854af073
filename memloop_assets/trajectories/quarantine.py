"""What people are told of lines that could not be read: file, line and reason, so that they can go and mend their log.

From the published table alone, which is redacted; the text of a line is never told here. How the table is made is said in ``cutting``.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from memloop_assets.store import Store
from memloop_assets.trajectories.tables import QUARANTINED_LINES
from memloop_assets.weeks import IsoWeek

SHOWN_LINES = 20
_COLUMNS = ("file_name", "line_number", "reason")
_IN_CELL = str.maketrans({"|": "\\|", "\n": " ", "\r": " ", "`": "'", "<": "&lt;"})


def quarantine_page(table: pa.Table, week: IsoWeek) -> str:
    """Return the first lines of a week's ``quarantined_lines`` as a Markdown table, by file and line, and how to list the others."""
    places = _places(table)
    rows = ["| " + " | ".join(str(fact).translate(_IN_CELL) for fact in place) + " |" for place in places[:SHOWN_LINES]]
    if not rows:
        return "none"
    rest = len(places) - len(rows)
    more = ["", f"and {rest:,} more: `memloop quarantine {week}` lists all"] if rest else []
    return "\n".join(["| file | line | reason |", "|---|---|---|", *rows, *more])


def quarantine_lines(store: Store, weeks: Sequence[IsoWeek]) -> Iterator[str]:
    """Yield every quarantined line of some weeks as ``week  file:line  reason``, and last how many there are.

    Weeks whose table is not there are named with the fix. Raises CorruptData for a table that cannot be read.
    """
    line_count = file_count = 0
    missing = []
    for week in weeks:
        if not store.is_readable(QUARANTINED_LINES.name, week):
            missing.append(week)
            continue
        places = _places(store.read(QUARANTINED_LINES.name, week, _COLUMNS))
        line_count += len(places)
        file_count += len({name for name, *_ in places})
        for name, number, reason in places:
            yield f"{week}  {name}:{number}  {reason}"
    span = f"{weeks[0]}..{weeks[-1]}" if weeks else "no week"
    yield f"{line_count:,} lines of {file_count:,} files, {span}" if line_count else f"no line is quarantined, {span}"
    if missing:
        yield f"not built: {', '.join(map(str, missing))}. Fix: memloop backfill {missing[0]}..{missing[-1]}"


def _places(table: pa.Table) -> list[tuple[str, int, str]]:
    """Return file, line and reason of every row, in that order."""
    return sorted((row["file_name"], row["line_number"], row["reason"]) for row in table.select(_COLUMNS).to_pylist())
