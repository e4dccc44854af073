"""How often the intervals of off-policy estimates hold the truth, and whether the ladder admits the right ones.

Two worlds of 64 kinds of task and two arms, small enough that the true difference between two routers is a sum, not a
simulation; in the second both arms nearly always succeed. The champion logs, and with a given probability (explored)
the other arm serves instead, so the logged propensities are true; in the last cells that probability is 3 % on one half
of the trials and 30 % on the other. Per cell of exploration, log length and outcome model seeded logs are drawn. Printed
are the share of two-sided 95 % intervals that hold the truth, per estimator (plain: doubly robust without the further
task that its standard error counts on each side; where there is no interval, it holds nothing), how often ``admissible``
lets the log decide at its default thresholds, and the coverage of doubly robust among the admitted. The outcome model is
``right`` (least squares on what the rewards depend on) or ``wrong`` (the arm's mean over the tasks that it happened to
serve).

Then logs whose trials depend on each other: fleets in which a few users ask most, tasks come again from other users, or no user is logged
and a session keeps its arm. The challenger is equal: each user (session, task) likes its arm more or less than the champion's, and over all
of them that averages 0. Printed are how often it would be promoted if tasks counted as independent, and with who asked taken into account;
the users are told apart as the loop does, by ``user_group``.

    python benchmarks/offpolicy_coverage.py [--simulations 1000] [--seed 0] [--lengths 300 1000 5000] [--only-clustered]
"""

import argparse
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from memloop_assets.benchmarks.admissibility import admissible
from memloop_assets.benchmarks.clusters import student_quantile
from memloop_assets.benchmarks.intervals import wilson_interval
from memloop_assets.benchmarks.logged_trials import LoggedTrials
from memloop_assets.benchmarks.offpolicy import (
    Estimation,
    FitOutcome,
    OffPolicyEvaluation,
    Predict,
    evaluate_difference,
)
from memloop_assets.trajectories.ownership import user_group

ARMS = ("large-model", "small-model")
# Of every other trial, and of those between: the last cell is a fleet in which one half explores more than the other.
EXPLORATIONS = ((0.0, 0.0), (0.02, 0.02), (0.05, 0.05), (0.10, 0.10), (0.20, 0.20), (0.50, 0.50), (0.03, 0.30))
LENGTHS = (300, 1000, 5000)
GOAL = 0.92
ENOUGH = 100


@dataclass(frozen=True)
class World:
    """Kinds of task as rows of six binary facts, equally likely; ``failures`` scales how often the arms fail."""

    name: str
    failures: float
    facts: NDArray[np.float64] = field(
        default_factory=lambda: np.array(list(itertools.product((0.0, 1.0), repeat=6)), dtype=np.float64)
    )

    @property
    def reward_probabilities(self) -> NDArray[np.float64]:
        """Return P(reward 1) per kind and arm, (64, 2): the small model fails where facts 1 to 3 are true."""
        large = 0.10 + self.facts @ np.array([0.05, 0.05, 0.05, 0.10, 0.0, 0.0])
        small = 0.05 + self.facts @ np.array([0.20, 0.15, 0.15, 0.10, 0.05, 0.0])
        return np.asarray(1.0 - self.failures * np.column_stack([large, small]))

    @property
    def champion(self) -> NDArray[np.intp]:
        """Return its arm per kind (64,): the small model where fact 2 is false."""
        return (self.facts[:, 1] == 0.0).astype(np.intp)

    @property
    def challenger(self) -> NDArray[np.intp]:
        """Return its arm per kind (64,): the small model where fact 1 is false."""
        return (self.facts[:, 0] == 0.0).astype(np.intp)

    @property
    def true_difference(self) -> float:
        """Return the challenger's expected reward minus the champion's, summed over all kinds of task."""
        kinds = np.arange(len(self.facts))
        rewards = self.reward_probabilities
        return float((rewards[kinds, self.challenger] - rewards[kinds, self.champion]).mean())


WORLDS = (World("as usual", failures=1.0), World("near the ceiling", failures=0.1))


@dataclass
class Cell:
    """Counts over the simulated logs of one cell: intervals that hold the truth, per estimator, and admissions.

    ``plain``: doubly robust without the further task that its standard error counts on each side.
    """

    held: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("ips", "snips", "direct", "robust"), 0))
    admitted: int = 0
    admitted_and_held: int = 0
    plain: int = 0

    def count(self, found: OffPolicyEvaluation, truth: float) -> None:
        """Count one log."""
        robust = found.doubly_robust
        estimates = (found.ips, found.snips, found.direct_method, robust)
        for name, estimate in zip(self.held, estimates, strict=True):
            self.held[name] += estimate.lower <= truth <= estimate.upper
        if admissible(found).is_admissible:
            self.admitted += 1
            self.admitted_and_held += robust.lower <= truth <= robust.upper
        if not math.isnan(robust.value):
            unseen = math.hypot(found.target.unseen, found.against.unseen)
            shrunk = math.sqrt(1.0 - (unseen / robust.standard_error) ** 2)
            self.plain += abs(truth - robust.value) <= shrunk * (robust.upper - robust.value)


def draw_log(
    world: World, length: int, exploration: tuple[float, float], rng: np.random.Generator
) -> tuple[LoggedTrials, NDArray[np.intp]]:
    """Draw a log and the kind of each of its tasks."""
    kinds = rng.integers(0, len(world.facts), size=length)
    explored = np.resize(exploration, length)
    is_explored = rng.random(length) < explored
    served = np.where(is_explored, 1 - world.champion[kinds], world.champion[kinds])
    propensities = np.where(is_explored, explored, 1.0 - explored)
    rewards = (rng.random(length) < world.reward_probabilities[kinds, served]).astype(np.float64)
    keys = tuple(map(str, range(length)))
    return LoggedTrials(keys, tuple(ARMS[arm] for arm in served), propensities, rewards, arms=ARMS), kinds


def fit_least_squares(trials: LoggedTrials, features: NDArray[np.float64]) -> FitOutcome:
    """Return the outcome model that is right in this world: per arm, reward linear in the facts, hardly shrunk."""
    design = np.column_stack([np.ones(len(features)), features])

    def fit(rows: NDArray[np.intp], outcomes: NDArray[np.float64]) -> Predict:
        weights = np.empty((design.shape[1], len(trials.arms)))
        for arm in range(len(trials.arms)):
            of_arm = trials.served_index[rows] == arm
            taught, known = design[rows[of_arm]], outcomes[of_arm]
            weights[:, arm] = np.linalg.solve(taught.T @ taught + 1e-3 * np.eye(design.shape[1]), taught.T @ known)
        return lambda asked: design[asked] @ weights

    return fit


def simulate_cells(
    world: World, exploration: tuple[float, float], length: int, options: argparse.Namespace
) -> dict[str, Cell]:
    """Draw logs of one exploration and length, and count per outcome model what the intervals hold."""
    rng = np.random.default_rng([options.seed, round(1000 * max(exploration)), length, round(1000 * world.failures)])
    cells, truth, arms = {"right": Cell(), "wrong": Cell()}, world.true_difference, np.array(ARMS)
    for _ in range(options.simulations):
        trials, kinds = draw_log(world, length, exploration, rng)
        challenger, champion = (tuple(arms[chosen[kinds]]) for chosen in (world.challenger, world.champion))
        for model, cell in cells.items():
            fit = fit_least_squares(trials, world.facts[kinds]) if model == "right" else None
            cell.count(evaluate_difference(trials, challenger, champion, estimation=Estimation(fit=fit)), truth)
    return cells


def describe(cell: Cell, simulations: int) -> str:
    """Write one row of the table in percent."""
    shares = "".join(f"{100 * count / simulations:7.1f}" for count in cell.held.values())
    shares += f"{100 * cell.plain / simulations:7.1f}"
    if not cell.admitted:
        return f"{shares}{0.0:10.1f}  {'-':>18}"
    covered = wilson_interval(cell.admitted_and_held, cell.admitted)
    among = f"{100 * covered.mean:.1f} [{100 * covered.lower:.1f}, {100 * covered.upper:.1f}]"
    return f"{shares}{100 * cell.admitted / simulations:10.1f}  {among:>18}"


def print_world(world: World, options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Print the table of one world; return the cells that cover too little, and those that should not be admitted."""
    differing = float((world.champion != world.challenger).mean())
    reward = float(world.reward_probabilities.mean())
    print(
        f"\nRewards {world.name} (mean {reward:.3f} over tasks and arms): true difference "
        f"{world.true_difference:+.5f}, the routers differ on {100 * differing:g} % of tasks."
    )
    print(
        f"{'explored':>8}{'n':>7}  {'model':<6}{'IPS':>7}{'SNIPS':>7}{'direct':>7}{'DR':>7}{'plain':>7}"
        f"{'admitted':>10}  {'DR if admitted':>18}"
    )
    below, wrongly = [], []
    pairs = [tuple(np.resize(shares, 2)) for shares in options.explored] if options.explored else EXPLORATIONS
    for exploration, length in itertools.product(pairs, options.lengths):
        for model, cell in simulate_cells(world, exploration, length, options).items():
            shares = "/".join(f"{100 * share:.0f}" for share in sorted(set(exploration)))
            name = f"{shares:>7}%{length:7,}  {model:<6}"
            print(name + describe(cell, options.simulations), flush=True)
            if cell.admitted >= ENOUGH and cell.admitted_and_held < GOAL * cell.admitted:
                below.append(name)
            if cell.admitted and max(exploration) <= 0.02:
                wrongly.append(name)
    return below, wrongly


@dataclass(frozen=True)
class Fleet:
    """Who asks the trials of a log: ``asks`` draws whose each of n trials is.

    ``task_count``: different tasks, 0 for as many as trials. ``has_sticky_arms``: whether a user or session keeps the arm that was drawn.
    ``tastes``: what is added to the chance of a reward by the challenger's arm and taken from that by the champion's, per user evenly
    drawn from it; the mean is 0.
    """

    name: str
    asks: Callable[[int, np.random.Generator], NDArray[np.intp]]
    is_user_logged: bool = True
    has_sticky_arms: bool = False
    task_count: int = 0
    tastes: tuple[float, ...] = (-0.25, 0.25)

    def draw(self, length: int, explored: float, rng: np.random.Generator) -> LoggedTrials:
        """Draw a log; the champion always serves the first arm, the challenger would always serve the second."""
        asker = self.asks(length, rng)
        task = rng.integers(0, self.task_count, size=length) if self.task_count else np.arange(length)
        is_explored = (rng.random(asker.max() + 1)[asker] if self.has_sticky_arms else rng.random(length)) < explored
        liked = rng.choice(self.tastes, asker.max() + 1)[asker]
        if self.task_count:
            liked = (liked + rng.choice(self.tastes, self.task_count)[task]) / 2.0
        rewards = rng.random(length) < 0.5 + np.where(is_explored, liked, -liked)
        names = [f"{number} of {rng.integers(2**40)}" for number in range(asker.max() + 1)]
        known = np.array([str(user_group(name)) for name in names] if self.is_user_logged else names)
        return LoggedTrials(
            tuple(map(str, task)),
            tuple(ARMS[place] for place in is_explored.astype(int)),
            np.where(is_explored, explored, 1.0 - explored),
            rewards.astype(np.float64),
            arms=ARMS,
            askers=tuple(known[asker]),
        )


def evenly(count: int) -> Callable[[int, np.random.Generator], NDArray[np.intp]]:
    """Return users who ask equally often."""
    return lambda length, rng: rng.integers(0, count, size=length)


def heavy_tailed(count: int) -> Callable[[int, np.random.Generator], NDArray[np.intp]]:
    """Return users whose shares of the log are log-normal (standard deviation 1)."""

    def asks(length: int, rng: np.random.Generator) -> NDArray[np.intp]:
        shares = rng.lognormal(size=count)
        return rng.choice(count, size=length, p=shares / shares.sum())

    return asks


def one_of(count: int, share: float) -> Callable[[int, np.random.Generator], NDArray[np.intp]]:
    """Return users of whom the first asks a share of the log and the others the rest, equally often."""
    return lambda length, rng: np.where(rng.random(length) < share, 0, rng.integers(1, count, size=length))


def in_sessions(length: int, _rng: np.random.Generator) -> NDArray[np.intp]:
    """Return sessions of ten trials."""
    return np.arange(length) // 10


ALONE = 100  # logs per cell of which it is asked what would be promoted if tasks counted as independent
FEW_DISLIKE = (-0.45, *[0.05] * 9)
FLEETS = (
    Fleet("one of 200 users asks 60 %", one_of(200, 0.6)),
    Fleet("one of 200 users asks 20 %", one_of(200, 0.2)),
    Fleet("20 users", evenly(20)),
    Fleet("60 users", evenly(60)),
    Fleet("130 users", evenly(130)),
    Fleet("200 users", evenly(200)),
    Fleet("200 users, heavy tail", heavy_tailed(200)),
    Fleet("500 users, heavy tail", heavy_tailed(500)),
    Fleet("2,000 users, heavy tail", heavy_tailed(2000)),
    Fleet("sessions of 10", in_sessions, is_user_logged=False),
    Fleet("sessions of 10, one arm each", in_sessions, is_user_logged=False, has_sticky_arms=True),
    Fleet("200 users ask 300 tasks", evenly(200), task_count=300),
    Fleet("everybody new, 300 tasks", lambda length, _rng: np.arange(length), task_count=300),
    Fleet("200 users, one in ten dislikes", evenly(200), tastes=FEW_DISLIKE),
    Fleet("500, heavy tail, one in ten", heavy_tailed(500), tastes=FEW_DISLIKE),
)


def print_fleet(fleet: Fleet, length: int, explored: float, options: argparse.Namespace) -> bool:
    """Print one row of the table of fleets; return whether it covers too little among the admitted."""
    rng = np.random.default_rng([options.seed, FLEETS.index(fleet), length, round(1000 * explored)])
    challenger, champion = (ARMS[1],) * length, (ARMS[0],) * length
    alone = admitted = promoted = held = 0
    askers = []
    for number in range(options.simulations):
        trials = fleet.draw(length, explored, rng)
        if number < ALONE:
            alone += _is_promoted(evaluate_difference(replace(trials, askers=()), challenger, champion))
        found = evaluate_difference(trials, challenger, champion)
        askers.append(min(found.target.asker_ess, found.against.asker_ess))
        if admissible(found).is_admissible:
            admitted += 1
            promoted += _is_promoted(found)
            held += found.doubly_robust.lower <= 0.0 <= found.doubly_robust.upper
    counted = 100 * alone / min(ALONE, options.simulations)
    shares = f"{counted:8.0f}{np.median(askers):9.0f}{100 * admitted / options.simulations:10.1f}"
    print(f"{fleet.name:<31}{length:7,}{100 * explored:7.0f} %{shares}", end="")
    if not admitted:
        print(f"{'-':>20}{'-':>21}", flush=True)
        return False
    for count in (promoted, held):
        share = wilson_interval(count, admitted)
        print(f"{100 * share.mean:6.1f} [{100 * share.lower:5.1f}, {100 * share.upper:5.1f}]", end="")
    print(flush=True)
    return admitted >= ENOUGH and held < GOAL * admitted


def _is_promoted(found: OffPolicyEvaluation) -> bool:
    """Tell whether the one-sided 95 % bound of the doubly robust estimate is above 0."""
    robust = found.doubly_robust
    return robust.value > student_quantile(0.95, found.degrees) * robust.standard_error


def print_fleets(options: argparse.Namespace) -> list[str]:
    """Print the table of logs whose trials depend on each other; return the cells that cover too little."""
    print("\nTrials that depend on each other, an equal challenger")
    print(
        f"{'':<31}{'n':>7}{'explored':>9}{'by task':>8}{'askers':>9}{'admitted':>10}{'promoted of these':>20}{'DR of these':>21}"
    )
    cells = itertools.product(FLEETS, ((2000, 0.5), (5000, 0.2)))
    return [
        f"{fleet.name}, {length:,}"
        for fleet, (length, explored) in cells
        if print_fleet(fleet, length, explored, options)
    ]


def main() -> None:
    """Run the cells and print the tables, and whether the goals were met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000, help="drawn logs per cell (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the whole table (default 0)")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="trials per log")
    parser.add_argument(
        "--explored", type=float, nargs="+", action="append", help="a share from 0 to 1, or one per half"
    )
    parser.add_argument("--only-clustered", action="store_true", help="leave out the worlds without dependence")
    options = parser.parse_args()
    started = time.process_time()
    print(f"Coverage of 95 % intervals in %, {options.simulations:,} logs per cell; [95 % interval]")
    found = [([], [])] if options.only_clustered else [print_world(world, options) for world in WORLDS]
    below, wrongly = (list(itertools.chain.from_iterable(names)) for names in zip(*found, strict=True))
    below += print_fleets(options)
    print(f"\nCells with {ENOUGH} or more admissions and coverage below {100 * GOAL:g} %: {len(below)} {below or ''}")
    print(f"Cells of 2 % exploration or less with any admission: {len(wrongly)} {wrongly or ''}")
    print(f"{time.process_time() - started:.0f} CPU-s")


if __name__ == "__main__":
    main()
