"""A canary through the whole loop: begun by the gate, served to sessions, logged, and judged a week later."""

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from memloop_assets.client import load_champion, load_deployment
from memloop_assets.home import Home
from memloop_assets.promotion.attempts import Attempts
from memloop_assets.promotion.evidence import Sources, _taught_until
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.weekly import decide, record_first_decision
from memloop_assets.routing.training import TrainingSettings
from memloop_assets.routing.versions import BUILT_IN, RehearsedLedger, first_broken_row
from memloop_assets.status import status_lines
from memloop_assets.trajectories.sources import ReadOptions
from memloop_assets.weeks import IsoWeek
from memloop_tests.scenario import (
    FIRST,
    LONG_AFTER,
    attempt,
    champion_of,
    decision_of,
    decisions,
    filled_home,
    open_at,
    run_weeks_through_dagster,
    write_log,
    write_settings,
)

SETTINGS = "[promotion]\ncanary = true\ncanary_share = 0.5\ncanary_min_sessions = 30\ncanary_weeks = 2\n"
BEGUN = FIRST.shift(1)
"""The week whose challenger the gate accepts in the world of these tests."""
JUDGED = BEGUN.shift(1)
SESSIONS = 160
CHAIN = ["session_logs", "trajectories", "promotion_decision", "champion", "training_report"]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a canary has just begun; tests copy it."""
    folder = tmp_path_factory.mktemp("canary") / "home"
    home = filled_home(folder)
    write_settings(folder, SETTINGS)
    assert run_weeks_through_dagster(folder, FIRST, BEGUN).success
    home.state.close()
    return folder


def copy_of(begun: Path, folder: Path) -> Home:
    shutil.copytree(begun, folder)
    return open_at(folder)


def serve(home: Home, week: IsoWeek, earned: dict[str, float]) -> None:
    """Serve sessions through the deployment, log them, and ingest the log; ``earned``: how often each router's answers are right."""
    deployment = load_deployment(home.places.data)
    lines, seen = [], dict.fromkeys(earned, 0.0)
    for number in range(SESSIONS):
        at = week.start + timedelta(minutes=30 * number)
        events = attempt(at, number, f"Convert {number} inches to centimetres")
        choice = deployment.choose(f"Convert {number} inches", session=str(events[0]["session_id"]))
        seen[choice.policy_version] += earned[choice.policy_version]
        reward = float(seen[choice.policy_version] >= 1.0)  # exactly that share of them, evenly spread
        seen[choice.policy_version] -= reward
        for event in events:
            routed = {"arm": choice.arm, "propensity": choice.propensity, "policy_version": choice.policy_version}
            rated = {"reward": reward, "success": bool(reward), "latency_ms": 100.0 + number % 7}
            lines.append(
                {**event, **(routed if event["type"] == "route" else rated if event["type"] == "outcome" else {})}
            )
    home.landing.ingest(write_log(home.settings.home / f"served_{week.start:%Y-%m-%d}.jsonl", lines), ReadOptions())


def versions_of(home: Home) -> tuple[str, str]:
    """Return the versions of the routers that serve: the champion's and the canary's."""
    facts = champion_of(home) or {}
    return facts["version"], facts["canary"]["version"]


def judged(begun: Path, folder: Path, of_champion: float, of_canary: float) -> tuple[Home, dict[str, Any], str]:
    """Serve a week, decide it, and return the home, the decision and the report's page."""
    home = copy_of(begun, folder)
    champion, canary = versions_of(home)
    serve(home, JUDGED, {champion: of_champion, canary: of_canary})
    assert run_weeks_through_dagster(folder, JUDGED, assets=CHAIN).success
    return home, decision_of(home, JUDGED), page_of(home, JUDGED)


def page_of(home: Home, week: IsoWeek) -> str:
    path = Attempts(home.state, home.places.training_reports).path_of(week, 1)
    return path.with_suffix(".md").read_text(encoding="utf-8")


def sources_of(home: Home, ledger: Any) -> Sources:
    places = home.places
    return Sources(home.store, ledger, places.router_versions, home.arm_prices, TrainingSettings(), home.first_week)


def test_an_accepted_challenger_is_held_and_published_as_a_canary(begun: Path, tmp_path: Path) -> None:
    home = copy_of(begun, tmp_path / "home")
    row = decision_of(home, BEGUN)
    assert decisions(home)[str(BEGUN)] == "hold"
    assert row["why"].startswith(f"Accepted; serves 50 % of the sessions first: the logs of {JUDGED} decide.")
    assert row["canary"] == row["challenger"] != row["champion_after"] == BUILT_IN
    canary = home.ledger.canary_as_of(JUDGED)
    assert canary is not None
    assert (home.ledger.canary_as_of(BEGUN), home.ledger.canary_as_of()) == (None, canary)
    assert first_broken_row(home.ledger.rows()) is None
    facts = champion_of(home) or {}
    assert facts["canary"] == {**facts["canary"], "version": row["challenger"], "share": 0.5, "since": str(BEGUN)}
    assert facts["version"] == canary.control == load_champion(home.places.data).version
    assert any(line.startswith(f"canary    {canary.version}, 50 % of the sessions") for line in status_lines(home))
    page = page_of(home, BEGUN)
    assert "The gate accepts the challenger." in page
    assert "holdout tasks" in page


def test_a_canary_that_does_well_in_the_next_weeks_logs_is_promoted(begun: Path, tmp_path: Path) -> None:
    home, row, page = judged(begun, tmp_path / "home", 0.6, 0.95)
    canary = decision_of(home, BEGUN)["canary"]
    assert (row["outcome"], row["champion_after"], row["challenger"], row["canary"]) == (
        "promote",
        canary,
        canary,
        None,
    )
    facts = champion_of(home) or {}
    assert (facts["version"], facts["canary"], facts["promoted_week"]) == (canary, None, str(JUDGED))
    assert load_deployment(home.places.data).canary is None
    assert _taught_until(canary, home.ledger) == BEGUN, "it learned nothing of the weeks in which it was judged"
    assert home.ledger.canary_as_of() is None
    assert home.store.manifest("promotion_decision", JUDGED)["inputs"] == home.store.input_of("trajectories", JUDGED)
    assert "On live sessions the canary does no worse" in page
    assert page.count("| no regression |") == 3
    assert f"What the canary learned from stands in the report of {BEGUN}." in page
    assert "holdout" not in page.split("## Where it comes from", maxsplit=1)[0]

    rows, first = home.ledger.rows(), home.store.generation("promotion_decision", JUDGED)
    begun_first = home.store.generation("promotion_decision", BEGUN)
    assert run_weeks_through_dagster(tmp_path / "home", BEGUN, JUDGED, assets=["promotion_decision"]).success
    assert home.store.generation("promotion_decision", JUDGED) == first, "a replay is a replay"
    assert home.store.generation("promotion_decision", BEGUN) == begun_first, "and sees no later canary"
    assert home.ledger.rows() == rows


def test_a_canary_that_does_worse_is_rejected_and_no_longer_served(begun: Path, tmp_path: Path) -> None:
    home, row, page = judged(begun, tmp_path / "home", 0.95, 0.5)
    assert (row["outcome"], row["champion_after"], row["canary"]) == ("reject", BUILT_IN, None)
    assert "quality_regression" in row["why"]
    assert (champion_of(home) or {})["canary"] is None
    assert home.ledger.canary_as_of() is None
    assert page.count("**regression**") == 2, "in reward and in failures, not in latency"


def test_a_canary_that_nobody_served_goes_on_and_ends_after_its_weeks(begun: Path, tmp_path: Path) -> None:
    home = copy_of(begun, tmp_path / "home")
    before = champion_of(home)
    for week, canary in ((JUDGED, versions_of(home)[1]), (JUDGED.shift(1), None)):
        assert run_weeks_through_dagster(tmp_path / "home", week, assets=CHAIN).success
        row = decision_of(home, week)
        assert (row["outcome"], row["canary"]) == ("hold", canary)
        assert "served no session" in row["why"]
        assert champion_of(home) == before if canary else (champion_of(home) or {})["canary"] is None


def test_a_week_whose_trajectories_failed_ends_the_canary(begun: Path, tmp_path: Path) -> None:
    home = copy_of(begun, tmp_path / "home")
    assert run_weeks_through_dagster(tmp_path / "home", JUDGED, assets=["promotion_decision", "champion"]).success
    row = decision_of(home, JUDGED)
    assert (row["outcome"], row["canary"]) == ("error", None)
    assert f"trajectories {JUDGED}" in row["why"]
    assert (champion_of(home) or {})["canary"] is None


def test_a_dry_run_over_both_weeks_judges_the_canary_that_it_would_have_begun(begun: Path, tmp_path: Path) -> None:
    home = copy_of(begun, tmp_path / "home")
    now = datetime.fromisoformat(LONG_AFTER)
    policy = home.settings.section("promotion", PromotionPolicy)
    assert run_weeks_through_dagster(tmp_path / "home", JUDGED, assets=["session_logs", "trajectories"]).success
    ledger = RehearsedLedger(home.ledger)
    decided = decide(JUDGED, sources_of(home, ledger), policy, now)
    record_first_decision(decided, sources_of(home, ledger), "dry run", now)
    assert ledger.canary_as_of(JUDGED.shift(1)) == home.ledger.canary_as_of(JUDGED)
    assert [row.week for row in ledger.rows()] == [str(FIRST), str(BEGUN), str(JUDGED)]
    assert home.ledger.decision_of(JUDGED) is None
    assert json.loads(ledger.rows()[-1].numbers_json)["canary"]["since"] == str(BEGUN)
