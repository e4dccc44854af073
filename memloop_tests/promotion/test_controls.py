"""Controls at the gate: shown beside a decision, never a veto, and an error of the week where the champion differs from itself."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from memloop_assets.benchmarks.evaluation import PolicyScores
from memloop_assets.promotion.controls import AA_TWIN, NO_OP, Controls
from memloop_assets.promotion.decision import Finding, PromotionDecision
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.report import Audit, report_facts, report_page, report_row
from memloop_assets.promotion.tables import decision_row
from memloop_assets.promotion.vetoes import Rivals
from memloop_assets.promotion.week_rules import Compared, decide_week
from memloop_tests.promotion.test_vetoes import AFTER, BEFORE, TASKS, scores
from memloop_tests.promotion.test_week_rules import WEEK, evidence

CHAMPION = scores("old", BEFORE, predicted=0.7)
CHALLENGER = scores("new", AFTER, predicted=0.8)
CONTROL = scores("shuffled-control", BEFORE)


def twin_of(challenger: PolicyScores, won: int, lost: int) -> PolicyScores:
    """Return scores that differ from a challenger's on as many tasks as are won and lost, by another arm."""
    places = np.random.default_rng(3).permutation(TASKS)
    up, down = (places[challenger.rewards[places] == was][:count] for was, count in ((0.0, won), (1.0, lost)))
    rewards = challenger.rewards.copy()
    rewards[up], rewards[down] = 1.0, 0.0
    changed = {*up.tolist(), *down.tolist()}
    arms = tuple("other" if place in changed else arm for place, arm in enumerate(challenger.arms))
    return replace(challenger, policy="aa-twin", arms=arms, rewards=rewards)


def decide(
    controls: Controls | None = None, policy: PromotionPolicy | None = None, champion: PolicyScores = CHAMPION
) -> PromotionDecision:
    """Decide a week whose challenger is promoted, beside these controls."""
    compared = Compared(champion, CHALLENGER, 1.0, Rivals(shuffled=CONTROL), controls=controls)
    return decide_week(evidence(holdout_task_count=TASKS), policy or PromotionPolicy(), compared)


def with_controls(twin: PolicyScores, again: PolicyScores = CHAMPION) -> tuple[PromotionDecision, Finding, Finding]:
    decision = decide(Controls(twin, again))
    found = {one.name: one for one in decision.findings}
    return decision, found[AA_TWIN], found[NO_OP]


def page_of(decision: PromotionDecision, policy: PromotionPolicy | None = None) -> str:
    row = decision_row(
        WEEK, decision, champion="a", challenger="b", policy=asdict(policy or PromotionPolicy()), suite_fingerprint="c"
    )
    facts = report_facts(report_row(Audit(WEEK, decision=row)))
    return report_page({**facts, "attempt": 1, "dry_run": False, "id": "1", "at": "now", "run_id": "r"})


@pytest.mark.parametrize(
    ("won", "lost", "outcome"), [(22, 20, "hold"), (20, 22, "reject"), (0, 0, "reject"), (40, 12, "promote")]
)
def test_a_twin_is_told_with_its_interval_and_changes_no_decision(won: int, lost: int, outcome: str) -> None:
    plain = decide()
    decision, twin, _ = with_controls(twin_of(CHALLENGER, won, lost))
    assert (decision.outcome, decision.reasons) == (plain.outcome, plain.reasons) == ("promote", plain.reasons)
    assert f"chooses otherwise on {won + lost} of {TASKS} tasks" in twin.sentence
    assert f"the gate would {outcome} it" in twin.sentence
    assert not twin.is_against
    assert decision.metrics["veto_count"] == 0
    assert decision.metrics["aa_promoted_count"] == (outcome == "promote")
    assert twin.mean == pytest.approx((won - lost) / TASKS)
    assert twin.lower is not None
    assert twin.upper is not None
    assert (twin.lower < twin.mean < twin.upper) == (won + lost > 0)


def test_a_twin_is_held_against_the_challenger_and_not_against_the_champion() -> None:
    _, twin, _ = with_controls(replace(CHAMPION, policy="aa-twin"))
    assert twin.mean == pytest.approx(float(np.mean(BEFORE - AFTER)))
    assert "would reject it" in twin.sentence


def test_a_promoted_twin_is_marked_in_the_report_as_the_error_that_it_is() -> None:
    decision, twin, _ = with_controls(twin_of(CHALLENGER, 40, 12))
    assert "which errs so in 5 % of weeks" in twin.sentence
    assert f"| **promoted**: {twin.sentence} |" in page_of(decision)
    assert "**promoted**: " not in page_of(with_controls(twin_of(CHALLENGER, 22, 20))[0])


def test_a_twin_that_cannot_be_compared_is_said_so() -> None:
    unknown = replace(CHALLENGER, rewards=np.full(TASKS, math.nan))
    decision, twin, _ = with_controls(unknown)
    assert (decision.outcome, twin.mean, twin.is_against) == ("promote", None, False)
    assert "the benchmark holds no outcome" in twin.sentence
    assert "| not tested: Another seed" in page_of(decision)


def test_the_champion_against_itself_is_rejected_for_the_same_choices() -> None:
    _, _, no_op = with_controls(CHALLENGER)
    assert (no_op.is_against, no_op.mean, no_op.task_count) == (False, 0.0, TASKS)
    assert no_op.sentence.endswith("reject, the same choices throughout.")


def test_a_champion_of_whom_too_little_is_known_is_held_against_itself_and_is_no_error() -> None:
    unknown = replace(CHAMPION, rewards=np.where(np.arange(TASKS) < TASKS // 2, math.nan, CHAMPION.rewards))
    decision = decide(Controls(CHALLENGER, unknown), champion=unknown)
    no_op = next(one for one in decision.findings if one.name == NO_OP)
    assert (decision.outcome, no_op.is_against, no_op.mean) == ("hold", False, None)
    assert f"against itself: hold, For {TASKS // 2} of {TASKS} tasks" in no_op.sentence


@pytest.mark.parametrize(
    "changes",
    [
        {"arms": ("another", *CHAMPION.arms[1:])},
        {"rewards": np.append(CHAMPION.rewards[:-1], 1.0 - CHAMPION.rewards[-1])},
        {"predicted_rewards": np.full(TASKS, 0.7000001)},
        {"costs_usd": np.append(CHAMPION.costs_usd[:-1], math.nan)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_champion_that_differs_from_itself_in_anything_is_an_error_of_the_week(changes: dict[str, object]) -> None:
    decision, _, no_op = with_controls(CHALLENGER, replace(CHAMPION, **changes))  # type: ignore[arg-type]  # its own fields
    assert (decision.outcome, decision.accepted, no_op.is_against) == ("error", False, True)
    assert decision.reasons == (no_op.sentence, *decide().reasons)
    assert f"| **error**: {no_op.sentence} |" in page_of(decision)


def test_a_gate_that_promotes_the_champion_over_itself_is_an_error_of_the_week(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PromotionPolicy, "evaluate", lambda *_args, **_more: PromotionDecision("promote", ("Yes.",)))
    decision, _, no_op = with_controls(CHALLENGER)
    assert (decision.outcome, no_op.is_against) == ("error", True)
    assert "it would promote it over itself" in no_op.sentence


def test_even_under_another_name_nothing_is_not_promoted() -> None:
    """The shortcut for the same choices is not taken: the bounds have to say it, whatever the thresholds."""
    renamed = replace(CHAMPION, arms=("another",) * TASKS)
    lenient = PromotionPolicy(min_reward_delta=-1, reward_margin=1, confidence=0.8, cost_weight=0)
    for policy in (PromotionPolicy(), lenient):
        assert policy.evaluate(CHAMPION, renamed, 1.0).outcome == "reject"


def test_a_report_shows_all_three_controls_and_names_the_one_that_is_missing() -> None:
    decision, _, _ = with_controls(twin_of(CHALLENGER, 22, 20))
    page = page_of(decision)
    section = page[page.index("## Controls") : page.index("## Other tests")]
    assert [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| ")][1:] == [
        "| A/A twin",
        "| shuffled",
        "| no-op",
    ]
    assert "**missing**" not in page
    for name in (AA_TWIN, NO_OP, "shuffled"):
        without = replace(decision, findings=tuple(one for one in decision.findings if one.name != name))
        assert page_of(without).count("**missing**") == 1
    off = PromotionPolicy(vetoes_off=("shuffled",))
    assert "| switched off (`vetoes_off`) |" in page_of(decide(Controls(CHALLENGER, CHAMPION), off), off)


def test_a_week_that_compared_nothing_says_that_no_control_was_run() -> None:
    held = decide_week(evidence(is_closed=False), PromotionPolicy(), Compared(None, None))
    assert "No control was run: no challenger was compared" in page_of(held)


def test_where_there_was_too_little_to_compare_the_shuffled_control_was_not_asked() -> None:
    champion = replace(CHAMPION, rewards=np.where(np.arange(TASKS) < TASKS // 10, math.nan, CHAMPION.rewards))
    decision = decide(Controls(CHALLENGER, champion), champion=champion)
    assert decision.outcome == "hold"
    assert "| not asked: there was too little to compare |" in page_of(decision)
    assert "**missing**" not in page_of(decision)
