"""The attempts: every run of a week counted in an append-only table, with one report file per attempt.

The number, the clock and the run stand here and in the report's file, never in a weekly table. What a report says is made in ``report``.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from memloop_assets.errors import BadInput, CorruptData
from memloop_assets.promotion.report import report_page
from memloop_assets.state import ATTEMPTS, State
from memloop_assets.store import make_folder, write_atomically
from memloop_assets.weeks import IsoWeek

_REPORT_ID = re.compile(r"(\d{4}-W\d{2})\.(\d+)")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One counted run of a week; ``number`` starts at 1 in every week and dry runs advance it too."""

    seq: int
    week: str
    number: int
    run_id: str
    is_dry_run: bool
    outcome: str
    report_sha256: str
    at: str

    @property
    def report_id(self) -> str:
        """Return the id of its report: week and number, as ``2026-W12.3``."""
        return f"{self.week}.{self.number}"


class Attempts:
    """Reads and appends the attempts of one home, and the reports that they left."""

    def __init__(self, state: State, folder: Path) -> None:
        """Keep the database and the folder of reports."""
        self._state = state
        self.folder = folder

    def record(
        self, week: IsoWeek, facts: Mapping[str, object], *, run_id: str, is_dry_run: bool, now: datetime
    ) -> dict[str, Any]:
        """Count an attempt and write its report as JSON and as a page; return the report.

        The files lie there before the row does, so no counted attempt is without its report.
        """
        with self._state.transaction() as connection:
            last = connection.execute(sa.select(sa.func.max(ATTEMPTS.c.number)).where(ATTEMPTS.c.week == str(week)))
            number = (last.scalar() or 0) + 1
            at = now.astimezone(UTC).isoformat()
            head = {"id": f"{week}.{number}", "attempt": number, "at": at, "run_id": run_id, "dry_run": is_dry_run}
            report = {**facts, **head}
            content = json.dumps(report, indent=1, sort_keys=True).encode()
            path = self.path_of(week, number)
            make_folder(path.parent)
            write_atomically(path.with_suffix(".md"), report_page(report).encode())
            write_atomically(path, content)
            connection.execute(
                sa.insert(ATTEMPTS).values(
                    week=str(week),
                    number=number,
                    run_id=run_id,
                    is_dry_run=is_dry_run,
                    outcome=str(facts["outcome"]),
                    report_sha256=hashlib.sha256(content).hexdigest(),
                    at=at,
                )
            )
        return report

    def rows(self, week: IsoWeek | None = None) -> list[Attempt]:
        """Return the attempts in the order of recording, of one week or of all."""
        wanted = sa.select(ATTEMPTS).order_by(ATTEMPTS.c.seq)
        with self._state.engine.connect() as connection:
            return [Attempt(*row) for row in connection.execute(wanted) if week is None or row.week == str(week)]

    def next_number(self, week: IsoWeek) -> int:
        """Return the number that the next attempt at a week will have: 1, then one more per attempt."""
        return max((row.number for row in self.rows(week)), default=0) + 1

    def weeks_of_run(self, run_id: str) -> set[IsoWeek]:
        """Return the weeks of which a run has left a report."""
        return {IsoWeek.parse(row.week) for row in self.rows() if row.run_id == run_id}

    def find(self, name: str = "") -> Attempt:
        """Return the attempt named by its report's id, the newest of a week, or without a name the newest of all.

        Raises BadInput where there is none, BadWeek for what is neither an id nor a week.
        """
        named = _REPORT_ID.fullmatch(name.strip())
        week = IsoWeek.parse(named[1] if named else name) if name else None
        found = [row for row in self.rows(week) if named is None or row.number == int(named[2])]
        if not found:
            known = ", ".join(row.report_id for row in self.rows(week)) or "none"
            fix = (
                f"reports of {week}: {known}; then `memloop backfill {week}`" if week else "run `memloop backfill WEEK`"
            )
            raise BadInput("report", f"there is no report {name}".rstrip(), fix)
        return found[-1]

    def get_report(self, report_id: str) -> dict[str, Any]:
        """Return a report by its id; raises BadInput for an unknown one, CorruptData where its file is gone or altered."""
        attempt = self.find(report_id)
        path = self.path_of(IsoWeek.parse(attempt.week), attempt.number)
        fix = f"restore it from a backup, or run `memloop backfill {attempt.week}` for a new one"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CorruptData(f"report {attempt.report_id}", f"it cannot be read ({error.strerror})", fix) from error
        if hashlib.sha256(content).hexdigest() != attempt.report_sha256:
            raise CorruptData(f"report {attempt.report_id}", "it is not what was written", fix)
        report: dict[str, Any] = json.loads(content)
        return report

    def path_of(self, week: IsoWeek, number: int) -> Path:
        """Return where an attempt's report lies; its page lies beside it with the suffix ``.md``."""
        return self.folder / str(week) / f"{number:04d}.json"
