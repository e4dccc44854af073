"""What a report says of a week that stands otherwise in the ledger, and of one without a challenger."""

from typing import Any

import pytest

from memloop_assets.promotion.decision import Outcome, PromotionDecision
from memloop_assets.promotion.report import Audit, report_facts, report_page, report_row, report_summary
from memloop_assets.promotion.tables import decision_row
from memloop_assets.routing.versions import LedgerRow
from memloop_assets.weeks import IsoWeek

WEEK = IsoWeek(2026, 12)


def report(outcome: Outcome, challenger: str | None, standing: tuple[str, str] | None) -> dict[str, Any]:
    """Return the report of a week that is decided so now, and perhaps stands in the ledger as (outcome, champion after it)."""
    decision = PromotionDecision(outcome, ("Because.",))
    row = decision_row(WEEK, decision, champion="c0", challenger=challenger, policy={}, suite_fingerprint="a" * 64)
    first = (
        LedgerRow(1, 0, str(WEEK), standing[0], "c0", standing[1], "", "{}", "gate", "", "", "", "")
        if standing
        else None
    )
    facts = report_facts(report_row(Audit(WEEK, decision=row, standing=first)))
    return {**facts, "attempt": 2, "dry_run": False, "id": "1", "at": "now", "run_id": "r"}


@pytest.mark.parametrize(
    ("outcome", "standing", "says"),
    [
        ("promote", ("hold", "c0"), "the gate would promote `c2`"),
        ("promote", ("promote", "c1"), "the gate would promote `c2`"),
        ("reject", ("promote", "c1"), "the gate would reject"),
        ("error", ("hold", "c0"), "the gate would come to an error"),
    ],
)
def test_a_week_decided_again_names_the_decision_that_stands_and_the_one_that_would_be(
    outcome: Outcome, standing: tuple[str, str], says: str
) -> None:
    found = report(outcome, "c2", standing)
    assert found["would_decide_now"] == outcome
    page, summary = report_page(found), report_summary(found)
    assert page.startswith(f"# {WEEK}, attempt 2: would now {outcome}; the ledger stands: {standing[0]}\n")
    assert summary.startswith(f"**The ledger stands: {standing[0]}.** The champion after this week is `{standing[1]}`.")
    for told in (page, summary):
        assert says in told
        assert "becomes the champion" not in told
    assert f"after: `{standing[1]}`" in page


@pytest.mark.parametrize("standing", [None, ("promote", "c2")])
def test_a_first_decision_and_one_that_is_the_same_again_are_told_as_such(standing: tuple[str, str] | None) -> None:
    found = report("promote", "c2", standing)
    assert found["would_decide_now"] is None
    assert report_page(found).startswith(f"# {WEEK}, attempt 2: promote\n")
    assert report_summary(found).startswith("**Promoted.**")


def test_a_skipped_week_has_no_challenger_and_a_failed_one_none_that_is_known() -> None:
    assert "champion before: `c0`, after: `c0`, challenger: none, promoted: nothing" in report_page(
        report("skip", None, None)
    )
    facts = report_facts(report_row(Audit(WEEK, fault="The run ended at case_index.")))
    page = report_page({**facts, "attempt": 1, "dry_run": False, "id": "1", "at": "now", "run_id": "r"})
    assert "champion before: not known, after: not known, challenger: not known, promoted: nothing" in page
    assert "None" not in page
