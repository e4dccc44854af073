"""The ledger: which router was champion when, and which one ran beside it as a canary, as an append-only table folded over weeks.

A row is one decided week (or, later, one operator's event). Rows are chained by hash and appended by compare-and-set, so that a lost
race is an error and never a silent overwrite. Who is champion of a week is a function of the rows of earlier weeks: replaying an old
week sees the champion of that time. What a router is, and whether it deserves to win, is not decided here.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from memloop_assets.errors import LedgerConflict
from memloop_assets.state import LEDGER, State
from memloop_assets.weeks import IsoWeek

BUILT_IN = "best-single-arm"
GENESIS = "0" * 64
CANARY = "canary"
"""The name under which a row's numbers carry the canary that goes on after it."""


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


@dataclass(frozen=True, slots=True)
class Canary:
    """An accepted challenger that serves a share of the sessions until live logs decide.

    ``control``: version of the router that serves the others; it is named because the built-in champion's router is fitted anew with
    every snapshot. ``since``: the week whose decision started it; the weeks after it are judged.
    """

    version: str
    control: str
    share: float
    since: IsoWeek

    def as_facts(self) -> dict[str, object]:
        """Return it as the ledger keeps it among a row's numbers."""
        return {**asdict(self), "since": str(self.since)}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> "Canary":
        """Return what ``as_facts`` wrote."""
        return cls(**{**facts, "since": IsoWeek.parse(facts["since"])})


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

    def canary_as_of(self, week: IsoWeek | None = None) -> Canary | None:
        """Return the canary that runs when a week begins, by the rows of earlier weeks; without a week, the one that runs now."""
        return fold_canary([row for row in self.rows() if week is None or row.week < str(week)])

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


def fold_canary(rows: Sequence[LedgerRow]) -> Canary | None:
    """Return the canary after these rows: the one that the last row of the last week carries.

    A row that carries none ends it, whatever its outcome: a canary goes on only where a decision says so.
    """
    last = max(rows, key=lambda row: (row.week, row.seq), default=None)
    facts = json.loads(last.numbers_json).get(CANARY) if last else None
    return Canary.of_facts(facts) if facts else None


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
