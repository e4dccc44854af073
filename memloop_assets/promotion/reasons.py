"""Reasons: the gate's numbers as short sentences for whoever reads them on a Monday morning.

Here: wording alone. Not here: any rule; what a number means for the decision is told in ``policy``.
"""

from collections.abc import Mapping, Sequence

Metrics = Mapping[str, float | int | None]

REWARD = "Reward (accuracy, where it is 0 or 1)"
_NAMED = 4


def in_points(value: float | None) -> str:
    """Write a difference of rewards in points of a hundred: ``+4.0 points``."""
    if value is None:
        return "an unknown number of points"
    return f"{round(100 * value, 1) + 0.0:+.1f} points".replace("+0.0", "0.0")


def in_percent(value: float | None) -> str:
    """Write a ratio with its sign: ``-20 %``."""
    return "an unknown share" if value is None else f"{round(100 * value) + 0.0:+.0f} %".replace("+0 ", "0 ")


def in_share(value: float) -> str:
    """Write a share without a sign: ``10 %``."""
    return f"{100 * value:g} %"


def in_confidence(value: float) -> str:
    """Write a confidence: ``at 95 % confidence``; one that only rounds to 100 % is not called so."""
    rounded = f"{100 * value:g}"
    return "at over 99.9999 % confidence" if rounded == "100" else f"at {rounded} % confidence"


def listed(names: Sequence[str]) -> str:
    """Name the first four of some things and count the others."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def findings(metrics: Metrics, *, confidence: float, cost_weight: float, reward_margin: float) -> tuple[str, ...]:
    """Return what a paired comparison measured, and what was needed, as three sentences."""
    sure = in_confidence(confidence)
    reward, reward_lower = in_points(metrics["reward_delta"]), in_points(metrics["reward_delta_lower"])
    utility, utility_lower = in_points(metrics["utility_delta"]), in_points(metrics["utility_delta_lower"])
    needed = in_points(-reward_margin)
    cost = metrics["cost_delta_ratio"]
    gained = f"{REWARD} changes by {reward} on {metrics['task_count']:,} tasks, {sure} by more than {reward_lower}"
    netted = f"Net of cost (weight {cost_weight:g}) that is {utility}, {sure} more than {utility_lower}"
    return (
        f"{gained}; more than {needed} is needed.",
        "Cost was not weighed." if cost is None else f"Cost changes by {in_percent(cost)} of the reference arm's.",
        f"{netted}; more than 0 is needed.",
    )
