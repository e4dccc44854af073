"""Routers whose predictions are written down by hand."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from memloop_assets.featuriser import HAND_NAMES, Featuriser
from memloop_assets.routing.linear import Linear, logit
from memloop_assets.routing.router import ChoiceRule, Router

COSTS = {"large": 0.02, "medium": 0.01, "small": 0.001}
KNOWN = "cat"


def router_predicting(
    rewards: Mapping[str, float],
    costs: Mapping[str, float] = COSTS,
    latencies_ms: Mapping[str, float] | None = None,
    **rule: Any,
) -> Router:
    """A router that predicts these rewards for every text, of which it knows the word KNOWN for certain and no other at all."""
    arms = tuple(sorted(rewards))
    numbers = {"reference_arm": "large", "delta": 0.02, "reward_floor": 0.1, "known_word_limit": 0.5, **rule}
    return Router(
        kind="fitted",
        arms=arms,
        rule=ChoiceRule(**numbers),
        featuriser=Featuriser((KNOWN,), np.ones(1), np.zeros(len(HAND_NAMES)), np.ones(len(HAND_NAMES))),
        costs_usd=np.array([costs[arm] for arm in arms]),
        latencies_ms=np.array([(latencies_ms or {}).get(arm, np.nan) for arm in arms]),
        linear=Linear(
            intercepts=logit(np.array([rewards[arm] for arm in arms])),
            term_weights=np.zeros((1, len(arms))),
            hand_weights=np.zeros((len(HAND_NAMES), len(arms))),
            domains=(),
            domain_weights=np.empty((0, len(arms))),
            domain_means=np.empty((0, len(arms))),
            domain_shares=np.empty((0, len(arms))),
        ),
        forest=None,
        slopes=np.ones(len(arms)),
        shifts=np.zeros(len(arms)),
        term_variances=np.zeros((1, len(arms)), dtype=np.float32),
        prior_variance=1.0,
        row_counts=(100,) * len(arms),
    )
