"""What serves while a canary runs: sticky by session, the share that was asked for, and exact propensities."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from memloop_assets.benchmarks.intervals import wilson_interval
from memloop_assets.client import load_champion, load_deployment
from memloop_assets.errors import BadCheckpoint, BadInput
from memloop_assets.routing.checkpoint import checkpoint_digest, save_checkpoint
from memloop_assets.routing.deployment import Deployment
from memloop_tests.routing.written import COSTS, KNOWN, router_predicting

CHAMPION = router_predicting({"large": 0.80, "medium": 0.40, "small": 0.30}, exploration_ratio=0.3)
CANARY = router_predicting({"large": 0.70, "medium": 0.50, "small": 0.79}, exploration_ratio=0.06)
DEPLOYMENT = Deployment(CHAMPION, CANARY, 0.1)
SESSIONS = [f"s-{number}" for number in range(20_000)]


def test_without_a_canary_or_a_session_the_champion_serves_as_ever() -> None:
    for draw in (None, 0.0, 0.9):
        assert Deployment(CHAMPION).choose(KNOWN, session="s-1", draw=draw) == CHAMPION.choose(KNOWN, draw=draw)
        assert DEPLOYMENT.choose(KNOWN, draw=draw) == CHAMPION.choose(KNOWN, draw=draw)
    assert not Deployment(CHAMPION).is_canary("s-1")


def test_a_session_stays_with_its_router_and_the_choice_names_it() -> None:
    taken = {session: DEPLOYMENT.choose(KNOWN, session=session).policy_version for session in SESSIONS[:200]}
    again = Deployment(CHAMPION, CANARY, 0.1)
    for session, version in taken.items():
        assert again.choose("other words", session=session, draw=0.99).policy_version == version
        assert version == (CANARY.version if DEPLOYMENT.is_canary(session) else CHAMPION.version)
    assert set(taken.values()) == {CHAMPION.version, CANARY.version}


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_share_of_sessions_is_the_one_asked_for(share: float) -> None:
    served = sum(Deployment(CHAMPION, CANARY, share).is_canary(session) for session in SESSIONS)
    found = wilson_interval(served, len(SESSIONS), confidence=0.999)
    assert found.lower <= share <= found.upper


def test_each_canary_draws_its_sessions_anew() -> None:
    other = Deployment(CHAMPION, router_predicting({"large": 0.7, "small": 0.8}), 0.5)
    one = Deployment(CHAMPION, CANARY, 0.5)
    both = sum(one.is_canary(session) and other.is_canary(session) for session in SESSIONS)
    found = wilson_interval(both, len(SESSIONS), confidence=0.999)
    assert found.lower <= 0.25 <= found.upper


def test_the_propensity_is_the_frequency_over_sessions_and_draws() -> None:
    rng = np.random.default_rng(0)
    choices = [DEPLOYMENT.choose(KNOWN, session=session, draw=rng.random()) for session in SESSIONS[:5_000]]
    told = {choice.arm: choice.propensity for choice in choices}
    assert {choice.propensity for choice in choices} == set(told.values()), "one number per arm, whoever served it"
    assert sum(told.values()) == pytest.approx(1.0)
    for arm, count in Counter(choice.arm for choice in choices).items():
        found = wilson_interval(count, len(choices), confidence=0.999)
        assert found.lower <= told[arm] <= found.upper, arm


def test_without_a_draw_the_propensity_is_the_share_of_the_routers_that_take_the_arm() -> None:
    told = {DEPLOYMENT.is_canary(session): DEPLOYMENT.choose(KNOWN, session=session) for session in SESSIONS[:200]}
    assert (told[False].arm, told[True].arm) == ("large", "small")
    assert (told[False].propensity, told[True].propensity) == pytest.approx((0.9, 0.1))
    agreed = Deployment(CHAMPION, router_predicting({"large": 0.9, "small": 0.1}), 0.1)
    assert {agreed.choose(KNOWN, session=session).propensity for session in SESSIONS[:50]} == {1.0}


@pytest.mark.parametrize("arms", [None, ["small", "large"], ["medium"]])
def test_a_routers_propensities_are_those_of_its_choices(arms: list[str] | None) -> None:
    for explores in (False, True):
        told = CHAMPION.propensities(KNOWN, arms, explores=explores)
        assert sum(told.values()) == pytest.approx(1.0)
        for draw in np.linspace(0.0, 0.999, 200) if explores else [None]:
            choice = CHAMPION.choose(KNOWN, arms, draw=draw)
            assert told[choice.arm] == choice.propensity


def test_arms_that_only_one_of_both_knows_are_offered_to_that_one() -> None:
    newer = router_predicting({**dict.fromkeys(COSTS, 0.7), "new": 0.9}, {**COSTS, "new": 0.0001})
    deployment = Deployment(CHAMPION, newer, 0.5)
    taken = {deployment.choose(KNOWN, session=session, arms=["large", "new"]).arm for session in SESSIONS[:50]}
    assert taken == {"large", "new"}
    with pytest.raises(BadInput, match="known to neither"):
        deployment.choose(KNOWN, session="s-1", arms=["large", "nobody"])
    older = Deployment(CHAMPION, router_predicting({"large": 0.7, "small": 0.8}), 0.5)
    for session in SESSIONS[:20]:
        assert older.choose(KNOWN, session=session, arms=["medium"]) == CHAMPION.choose(KNOWN, ["medium"])


def write_pointer(data: Path, canary: object) -> None:
    versions = data / "router-versions"
    for router in (CHAMPION, CANARY):
        save_checkpoint(router, versions)
    facts = {"version": CHAMPION.version, "sha256": checkpoint_digest(versions, CHAMPION.version), "canary": canary}
    (data / "champion.json").write_text(json.dumps(facts), encoding="utf-8")


def test_a_deployment_is_loaded_with_the_canary_that_the_pointer_names(tmp_path: Path) -> None:
    write_pointer(tmp_path, None)
    assert load_deployment(tmp_path).canary is None
    digest = checkpoint_digest(tmp_path / "router-versions", CANARY.version)
    write_pointer(tmp_path, {"version": CANARY.version, "sha256": digest, "share": 0.2})
    found = load_deployment(tmp_path)
    assert (found.champion.version, found.share) == (CHAMPION.version, 0.2)
    assert found.canary is not None
    assert found.canary.version == CANARY.version
    assert load_champion(tmp_path).version == CHAMPION.version


@pytest.mark.parametrize(
    "canary", [{}, "text", {"version": CANARY.version, "sha256": "0" * 64, "share": 0.2}, {"share": "much"}]
)
def test_a_canary_that_makes_no_sense_or_is_another_one_is_refused(tmp_path: Path, canary: object) -> None:
    write_pointer(tmp_path, canary)
    with pytest.raises(BadCheckpoint):
        load_deployment(tmp_path)


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(tmp_path: Path, share: float) -> None:
    write_pointer(tmp_path, {"version": CANARY.version, "sha256": "", "share": share})
    with pytest.raises(BadCheckpoint, match="a share of"):
        load_deployment(tmp_path)
