"""Weights: how much an example counts in training, by its age, by how hard its task is and by how good it is.

Pure functions; the snapshot applies them. With the default settings every weight is 1: age is no reason to forget and difficulty none
to repeat until someone has measured it on their own traffic.
"""

from collections import defaultdict
from collections.abc import Iterable

DOMAIN_TRIALS = 10.0
TASK_TRIALS = 4.0


def age_weight(age_weeks: int, half_life_weeks: float | None) -> float:
    """Return 0.5 to the power of age over half-life; 1 where there is no half-life."""
    return 1.0 if half_life_weeks is None else 0.5 ** (age_weeks / half_life_weeks)


def difficulty_by_task(trials: Iterable[tuple[str, str | None, float]]) -> dict[str, float]:
    """Return each task's difficulty in [0, 1]: one minus the mean reward of its trials, shrunk.

    ``trials`` are (task key, domain, reward in [0, 1]). A task's mean counts as if ``TASK_TRIALS`` more trials had earned the mean of its
    domain, a domain's as if ``DOMAIN_TRIALS`` more had earned the mean of all (shrinkage of a fixed strength; Efron and Morris, 1975).
    """
    rewards: dict[str, list[float]] = defaultdict(list)
    by_domain: dict[str | None, list[float]] = defaultdict(list)
    domains: dict[str, str | None] = {}
    for key, domain, reward in sorted(trials, key=lambda trial: (trial[0], trial[1] or "", trial[2])):
        rewards[key].append(reward)
        by_domain[domain].append(reward)
        domains.setdefault(key, domain)
    earned = [reward for values in by_domain.values() for reward in values]
    overall = sum(earned) / len(earned) if earned else 0.5
    of_domain = {name: _shrunk(values, overall, DOMAIN_TRIALS) for name, values in by_domain.items()}
    return {key: 1.0 - _shrunk(values, of_domain[domains[key]], TASK_TRIALS) for key, values in rewards.items()}


def curriculum_weight(difficulty: float, strength: float, quality: float | None = None) -> float:
    """Return ``1 + strength * difficulty``, times the quality of an example that is imitated (None: not imitated, or not judged).

    At strength 1 a hard good example (difficulty 0.9, quality 0.85) weighs 1.6, an easy better one (0.2, 0.95) 1.1; at strength 0 all
    weigh 1.
    """
    if strength == 0.0:
        return 1.0
    return (1.0 + strength * difficulty) * (1.0 if quality is None else quality)


def _shrunk(values: list[float], towards: float, trials: float) -> float:
    return (sum(values) + trials * towards) / (len(values) + trials)
