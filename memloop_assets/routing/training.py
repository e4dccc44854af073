"""Fitting a router: from a snapshot's samples to predicted rewards per arm.

Here belong the settings of the fit and its order: words, one logistic regression per arm, trees that all arms share,
calibration. Not here: which rows count (the snapshot decides), what they say of each arm as a whole (``trials.py``), how a router
serves (``router.py``), whether it is good (the gate).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from memloop_assets.errors import BadInput, BadSettings
from memloop_assets.featuriser import Featuriser, measure_text, read_terms, smooth_idf
from memloop_assets.routing.calibration import fit_calibration
from memloop_assets.routing.choosing import ChoiceRule
from memloop_assets.routing.fitting import (
    Gone,
    Material,
    common_domains,
    grow_forest,
    held_mean,
    join_arms,
    main_directions,
    predict_trials,
    prepare_material,
    weigh_arm,
)
from memloop_assets.routing.forest import Forest
from memloop_assets.routing.linear import Linear
from memloop_assets.routing.prior import Prior
from memloop_assets.routing.router import Router
from memloop_assets.routing.sharing import find_shared
from memloop_assets.routing.task_memory import TaskMemory, gather_memory
from memloop_assets.routing.trials import Trials, best_arm, mean_rewards, price_arms, read_trials, time_arms


@dataclass(frozen=True)
class TrainingSettings:
    """What shapes a router besides its rows. Whatever is random in the fit has a fixed seed.

    penalty: on the squared distance of each arm's logistic weights from what it shares with the others (0 where nothing).
    max_terms: the most words and word pairs kept, those in the most tasks first.
    min_task_count: distinct tasks in which a term or a domain must occur (fewer where there are fewer tasks).
    shrinkage_rows: an arm counts as if so many more rows had earned the mean of all arms; its own count as their
        effective number (Kish, 1965).
    min_arm_rows: with fewer rows an arm predicts its shrunk mean whatever the text.
    min_forest_tasks: with fewer distinct tasks there are no trees; 0: never any.
    min_calibration_tasks: from so many distinct tasks on the predictions are calibrated, by fits on half of the tasks that predict
        the other half; 0: never.
    memory_tasks: the most tasks of which past trials are kept, those tried most often; 0: none.
    memory_trust_trials: on such a task, the prediction counts as so many trials.
    reference_arm: what the router falls back to; None takes the best single arm by the training rows.
    propensity_floor: a row counts by the inverse of its logged propensity, or of this where that is lower; 1: unused.
        A router's own logs show each arm on the tasks that suited it. After a router had sent half of the tasks to each
        of two arms with propensity 0.9, the weights took the next one's APGR from 0.626 to 0.639 on average, better in 4
        of 5 splits (RouteLLM's MMLU outcomes). Logs of one propensity are fitted as without weights.
    delta: how much predicted reward a cheaper arm may give away against the reference arm.
    reward_floor: an arm predicted under this is never a saving.
    known_word_limit: share of known words (0 to 1) under which a text counts as novel.
    latency_limit_ms: an arm whose mean logged latency is above this never serves; None: no limit.
    confidence_floor: confidence (0 to 1) under which the reference arm serves.
    exploration_ratio: share of the choices that explore, where the caller draws for them.
    prior_rank: what rows taught that left the retention window is kept by a Laplace prior whose curvature has so many directions
        and an exact diagonal; 0: it goes with them. 128 kept it on RouteLLM's MMLU outcomes (decision 0012).
    """

    penalty: float = 1.4
    max_terms: int = 20_000
    min_task_count: int = 3
    shrinkage_rows: float = 20.0
    min_arm_rows: int = 20
    min_forest_tasks: int = 300
    min_calibration_tasks: int = 1_000
    memory_tasks: int = 5_000
    memory_trust_trials: float = 4.0
    propensity_floor: float = 0.05
    reference_arm: str | None = None
    delta: float = 0.02
    reward_floor: float = 0.1
    known_word_limit: float = 0.5
    latency_limit_ms: float | None = None
    confidence_floor: float = 0.0
    exploration_ratio: float = 0.0
    prior_rank: int = 0

    def __post_init__(self) -> None:
        """Refuse values out of bounds; raises BadSettings."""
        bounds: dict[str, tuple[float, float]] = {
            "penalty": (1e-6, 1e9),
            "max_terms": (0, 1_000_000),
            "min_task_count": (1, 1_000_000),
            "shrinkage_rows": (0, 1e9),
            "min_arm_rows": (1, 1_000_000),
            "min_forest_tasks": (0, 1e9),
            "min_calibration_tasks": (0, 1e9),
            "memory_tasks": (0, 1_000_000),
            "memory_trust_trials": (1e-3, 1e9),
            "propensity_floor": (1e-3, 1),
            "delta": (0, 1),
            "reward_floor": (0, 1),
            "known_word_limit": (0, 1),
            "latency_limit_ms": (0, 1e9),
            "confidence_floor": (0, 1),
            "exploration_ratio": (0, 0.5),
            "prior_rank": (0, 4_096),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise BadSettings("router training", f"{name} is {value}", f"use a value from {low} to {high}")


DEFAULTS = TrainingSettings()


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What is learned of the arms, columns in the order of the arms."""

    linear: Linear
    variances: NDArray[np.float32]
    forest: Forest | None
    forest_share: float


def fit_router(
    samples: pa.Table,
    arm_costs: Mapping[str, float],
    settings: TrainingSettings = DEFAULTS,
    prior: Prior | None = None,
    *,
    seed: int = 0,
) -> Router:
    """Return the router fitted on the rows of ``router_samples``; the same rows in any order and the same seed give the same bytes.

    ``seed`` decides all that is random: the trees, the directions that they look at, which tasks are fitted without their domain
    and which half of them calibrates the other.

    ``prior`` says what earlier rows taught that are gone: the linear half keeps it, and the trees speak by the share of the trials that
    they have seen.

    ``arm_costs`` is the configured price per call in USD; an arm in it without rows is predicted at the global mean.
    An arm without a configured price takes the weighted mean of its logged ``cost_usd``; if no arm has any, all cost 0.
    Raises BadInput for an empty table, a missing column, a reward, weight, cost or propensity that is not a number in
    its bounds, an arm without a price while others have one, and a reference arm that is not among the arms.
    """
    trials = read_trials(samples, settings.propensity_floor)
    arms = tuple(sorted({*arm_costs, *trials.arms.tolist()}))
    prices = price_arms(arms, trials, arm_costs)
    latencies = time_arms(arms, trials)
    featuriser = _fit_featuriser(trials, settings, prior)
    fitted, (slope, shift) = _fit_arms(trials, arms, featuriser, settings, prior, seed=seed)
    means = mean_rewards(trials, settings.shrinkage_rows)
    return Router(
        kind="fitted",
        arms=arms,
        rule=ChoiceRule(
            reference_arm=settings.reference_arm or best_arm(trials, means, prices, settings.min_arm_rows),
            delta=settings.delta,
            reward_floor=settings.reward_floor,
            known_word_limit=settings.known_word_limit,
            latency_limit_ms=settings.latency_limit_ms,
            confidence_floor=settings.confidence_floor,
            exploration_ratio=settings.exploration_ratio,
        ),
        featuriser=featuriser,
        costs_usd=np.array([prices[arm] for arm in arms]),
        latencies_ms=np.array([latencies.get(arm, np.nan) for arm in arms]),
        linear=fitted.linear,
        forest=fitted.forest,
        slopes=np.full(len(arms), slope),
        shifts=np.full(len(arms), shift),
        term_variances=fitted.variances,
        prior_variance=1.0 / settings.penalty,
        row_counts=_count_rows(trials, arms),
        memory=_remember_tasks(trials, arms, settings),
        forest_share=fitted.forest_share,
    )


def refit_router(
    router: Router,
    samples: pa.Table,
    settings: TrainingSettings = DEFAULTS,
    prior: Prior | None = None,
    *,
    seed: int = 0,
) -> Router:
    """Return a router fitted on the rows of another once more, with another seed or other rewards, at half of the cost.

    Words, prices, reference arm, memory and calibration are those of ``router``; weights and trees are fitted anew. Raises BadInput for a
    router that was fitted on other rows.
    """
    trials = read_trials(samples, settings.propensity_floor)
    if router.row_counts != _count_rows(trials, router.arms):
        raise BadInput(f"router {router.version}", "it was fitted on other samples than these", "fit it on these first")
    plain = replace(settings, min_calibration_tasks=0)
    fitted, _ = _fit_arms(trials, router.arms, router.featuriser, plain, prior, seed=seed)
    return replace(
        router,
        linear=fitted.linear,
        forest=fitted.forest,
        term_variances=fitted.variances,
        forest_share=fitted.forest_share,
    )


def best_single_arm(
    samples: pa.Table, arm_costs: Mapping[str, float], settings: TrainingSettings = DEFAULTS
) -> tuple[str, dict[str, float]]:
    """Return the best single arm as far as the data tell it from those served most, and every arm's mean reward.

    It is the best of the arms that served about as often as the most served one, unless others lead it by more than noise: then
    the one with the highest mean, the cheaper among equals. Taking the highest mean outright would let a rarely tried, lucky arm be
    what everything falls back to: with rewards shuffled, 19 % of 200 weeks then promoted something, now 1 %. Means weigh rows as
    the fit does and are shrunk as the fit is; an arm of fewer than ``min_arm_rows`` rows leads nothing. Raises BadInput likewise.
    """
    trials = read_trials(samples, settings.propensity_floor)
    arms = tuple(sorted({*arm_costs, *trials.arms.tolist()}))
    means = mean_rewards(trials, settings.shrinkage_rows)
    return best_arm(trials, means, price_arms(arms, trials, arm_costs), settings.min_arm_rows), means


def _fit_arms(  # noqa: PLR0913  # all that a fit rests on
    trials: Trials,
    arms: tuple[str, ...],
    featuriser: Featuriser,
    settings: TrainingSettings,
    prior: Prior | None,
    *,
    seed: int,
) -> tuple[_Fitted, tuple[float, float]]:
    """Return what is learned of the arms, and the slope and shift of the calibration that they share."""
    domains = common_domains(trials, settings.min_task_count)
    gone: dict[str, Gone] = {}
    if prior is not None:
        domains = tuple(sorted({*domains, *prior.domains}))
        gone = prior.over(featuriser.terms, domains)
    material = prepare_material(trials, featuriser, domains, seed)
    task_count = len(set(trials.task_keys))
    directions = main_directions(material, seed) if 0 < settings.min_forest_tasks <= task_count else None
    seen = float(trials.plain_weights.sum())
    forest_share = 0.5 * seen / (seen + (prior.trial_weight if prior else 0.0))

    def learn(rows: NDArray[np.intp]) -> _Fitted:
        mean = held_mean(trials, rows)
        shared = _share(material, rows, settings)
        found = [
            weigh_arm(
                material,
                rows[trials.arms[rows] == arm],
                mean,
                penalty=settings.penalty,
                shrinkage_rows=settings.shrinkage_rows,
                min_rows=settings.min_arm_rows,
                shared=shared.get(arm),
                gone=gone.get(arm),
            )
            for arm in arms
        ]
        linear, variances = join_arms(found, material.domains)
        forest = None if directions is None else grow_forest(material, rows, arms, linear, directions, seed=seed)
        return _Fitted(linear, variances, forest, forest_share)

    is_calibrated = 0 < settings.min_calibration_tasks <= task_count
    calibration = _calibrate(material, arms, learn, seed) if is_calibrated else (1.0, 0.0)
    return learn(np.arange(len(trials.texts))), calibration


def _calibrate(
    material: Material, arms: tuple[str, ...], learn: Callable[[NDArray[np.intp]], _Fitted], seed: int
) -> tuple[float, float]:
    """Return the slope and shift that predictions need which were made without their task: each half of the tasks is fitted once.

    Every task counts the same, however often it was tried: one that comes all the time is for the memory to know.
    """
    trials = material.trials
    is_first = trials.task_halves(seed)
    if is_first.all() or not is_first.any():
        return 1.0, 0.0
    predicted = np.empty(len(is_first))
    for is_asked in (is_first, ~is_first):
        half = learn(np.flatnonzero(~is_asked))
        asked = np.flatnonzero(is_asked)
        predicted[asked] = predict_trials(
            material, asked, arms, half.linear, half.forest, forest_share=half.forest_share
        )
    return fit_calibration(predicted, trials.rewards, trials.weights / trials.task_trials)


def _share(material: Material, rows: NDArray[np.intp], settings: TrainingSettings) -> dict[str, NDArray[np.float64]]:
    """Return what the arms share; nothing where a prior keeps what rows taught, which is each arm's own."""
    if settings.prior_rank:
        return {}
    return find_shared(material, rows, penalty=settings.penalty, min_rows=settings.min_arm_rows)


def _count_rows(trials: Trials, arms: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(int((trials.arms == arm).sum()) for arm in arms)


def remember_samples(samples: pa.Table, arms: tuple[str, ...], settings: TrainingSettings) -> TaskMemory | None:
    """Return the memory that ``fit_router`` gives to a router of these arms; None where it has none."""
    return _remember_tasks(read_trials(samples, settings.propensity_floor), arms, settings)


def _remember_tasks(trials: Trials, arms: tuple[str, ...], settings: TrainingSettings) -> TaskMemory | None:
    """Return the memory of the tasks that were tried before, trials counted by their weights without propensities."""
    if not settings.memory_tasks:
        return None
    texts = dict(zip(trials.task_keys, trials.texts, strict=True))
    keys = sorted(texts)
    rows, columns = np.searchsorted(np.array(keys), trials.task_keys), np.searchsorted(np.array(arms), trials.arms)
    cells = np.ravel_multi_index((rows, columns), (len(keys), len(arms)))
    counts, sums = (
        np.bincount(cells, weights, len(keys) * len(arms)).reshape(len(keys), len(arms)).astype(np.float64)
        for weights in (trials.plain_weights, trials.plain_weights * trials.rewards)
    )
    tasks = [(key, texts[key]) for key in keys]
    most, trust = settings.memory_tasks, settings.memory_trust_trials
    return gather_memory(tasks, np.bincount(rows), counts, sums, most_tasks=most, trust_trials=trust)


def _fit_featuriser(trials: Trials, settings: TrainingSettings, prior: Prior | None) -> Featuriser:
    """Return the vocabulary of the distinct tasks (a task seen often is one document) and the hand features' scale.

    What a prior was measured with stays: the idf of its terms and the scale of the hand features. Its counts join those of the rows.
    """
    documents = dict(zip(trials.task_keys, trials.texts, strict=True))
    counts: Counter[str] = Counter()
    for text in documents.values():
        counts.update(set(read_terms(text)))
    task_count = len(documents)
    if prior is not None:
        counts.update(dict(zip(prior.featuriser.terms, prior.term_counts.tolist(), strict=True)))
        task_count += prior.task_count
    least = min(settings.min_task_count, task_count)
    common = sorted((-count, term) for term, count in counts.items() if count >= least)[: settings.max_terms]
    terms = tuple(sorted(term for _, term in common))
    idf = smooth_idf([counts[term] for term in terms], task_count)
    if prior is not None:
        frozen = dict(zip(prior.featuriser.terms, prior.featuriser.idf.tolist(), strict=True))
        idf = np.array([frozen.get(term, fresh) for term, fresh in zip(terms, idf.tolist(), strict=True)])
        return Featuriser(terms, idf, prior.featuriser.hand_mean, prior.featuriser.hand_scale)
    hand = np.array([measure_text(text) for text in documents.values()])
    spread = hand.std(axis=0)
    return Featuriser(
        terms=terms,
        idf=idf,
        hand_mean=hand.mean(axis=0),
        hand_scale=np.where(spread > 1e-9, spread, 1.0),
    )
