"""The ledger: which router was champion when, as an append-only table folded over weeks.

A row is one decided week (or, later, one operator's event). Rows are chained by hash and appended by compare-and-set, so that a lost
race is an error and never a silent overwrite. Who is champion of a week is a function of the rows of earlier weeks: replaying an old
week sees the champion of that time. What a router is, and whether it deserves to win, is not decided here.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from memloop_assets.errors import LedgerConflict
from memloop_assets.state import LEDGER, State
from memloop_assets.weeks import IsoWeek

BUILT_IN = "best-single-arm"
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One line of the ledger; ``epoch`` counts the changes of champion so far, this row's own included."""

    seq: int
    epoch: int
    week: str
    action: str
    from_version: str
    to_version: str
    evidence_hash: str
    numbers_json: str
    actor: str
    reason: str
    at: str
    prev_hash: str
    row_hash: str

    def is_other(self, outcome: str, champion_after: object) -> bool:
        """Tell whether a decision of this week, made again, would differ: in its outcome, or in whom it would promote."""
        return self.action != outcome or (outcome == "promote" and self.to_version != champion_after)


class Ledger:
    """Reads and appends the ledger of one home."""

    def __init__(self, state: State) -> None:
        """Keep the database."""
        self._state = state

    def rows(self) -> list[LedgerRow]:
        """Return every row in the order of appending."""
        columns = [c for c in LEDGER.c if c.name != "decided_week"]
        with self._state.engine.connect() as connection:
            return [LedgerRow(*row) for row in connection.execute(sa.select(*columns).order_by(LEDGER.c.seq))]

    def champion_as_of(self, week: IsoWeek | None = None) -> str:
        """Return the version that is champion when a week begins: the fold over the rows of earlier weeks.

        Without a week, over all rows: the live champion. Before the first promotion it is the built-in policy ``best-single-arm``.
        """
        return fold_champion([row for row in self.rows() if week is None or row.week < str(week)])

    def decision_of(self, week: IsoWeek) -> LedgerRow | None:
        """Return the row that decided a week, None where it is still undecided."""
        return next((row for row in self.rows() if row.week == str(week) and row.actor == "gate"), None)

    def append_decision(  # noqa: PLR0913  # one ledger row has this many facts
        self,
        week: IsoWeek,
        action: str,
        *,
        from_version: str,
        to_version: str,
        evidence_hash: str,
        numbers: Mapping[str, object],
        reason: str,
        now: datetime,
    ) -> LedgerRow:
        """Append the first decision of a closed week.

        Raises LedgerConflict where the week is decided already, or where the champion of that week is no longer ``from_version``.
        """

        def follow(rows: Sequence[LedgerRow]) -> LedgerRow:
            if any(row.week == str(week) and row.actor == "gate" for row in rows):
                raise LedgerConflict(
                    f"ledger {week}", "this week is decided already", "read it again; the first decision stands"
                )
            champion = fold_champion([row for row in rows if row.week < str(week)])
            if champion != from_version:
                raise LedgerConflict(
                    f"ledger {week}", f"its champion is {champion}, not {from_version}", "decide the week again"
                )
            last = rows[-1] if rows else None
            facts = {
                "seq": (last.seq if last else 0) + 1,
                "epoch": (last.epoch if last else 0) + int(to_version != from_version),
                "week": str(week),
                "action": action,
                "from_version": from_version,
                "to_version": to_version,
                "evidence_hash": evidence_hash,
                "numbers_json": json.dumps(numbers, sort_keys=True),
                "actor": "gate",
                "reason": reason,
                "at": now.astimezone(UTC).isoformat(),
                "prev_hash": last.row_hash if last else GENESIS,
            }
            return LedgerRow(**facts, row_hash=_hash_facts(facts))  # type: ignore[arg-type]  # facts are spelt out just above

        return self._append(follow)

    def _append(self, follow: Callable[[Sequence[LedgerRow]], LedgerRow]) -> LedgerRow:
        """Append the row that follows those that stand, in one transaction."""
        with self._state.transaction() as connection:
            columns = [c for c in LEDGER.c if c.name != "decided_week"]
            row = follow([LedgerRow(*row) for row in connection.execute(sa.select(*columns).order_by(LEDGER.c.seq))])
            connection.execute(sa.insert(LEDGER).values(**asdict(row), decided_week=row.week))
            return row


class RehearsedLedger(Ledger):
    """The ledger of a dry run: the home's rows, and behind them what this run decided, which nobody else ever sees."""

    def __init__(self, ledger: Ledger) -> None:
        """Keep the ledger, which is only read."""
        self._ledger = ledger
        self._rehearsed: list[LedgerRow] = []

    def rows(self) -> list[LedgerRow]:
        """Return the home's rows and then the rehearsed ones."""
        return [*self._ledger.rows(), *self._rehearsed]

    def _append(self, follow: Callable[[Sequence[LedgerRow]], LedgerRow]) -> LedgerRow:
        self._rehearsed.append(follow(self.rows()))
        return self._rehearsed[-1]


def fold_champion(rows: Sequence[LedgerRow]) -> str:
    """Return the champion after these rows, folded by week and, within a week, in the order of appending."""
    champion = BUILT_IN
    for row in sorted(rows, key=lambda row: (row.week, row.seq)):
        if row.to_version != row.from_version:
            champion = row.to_version
    return champion


def first_broken_row(rows: Sequence[LedgerRow]) -> LedgerRow | None:
    """Return the first row whose hash chain does not hold, None where the whole ledger is as it was written."""
    before = GENESIS
    for row in rows:
        facts = {name: value for name, value in asdict(row).items() if name != "row_hash"}
        if row.prev_hash != before or row.row_hash != _hash_facts(facts):
            return row
        before = row.row_hash
    return None


def _hash_facts(facts: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
