"""Which weeks to ask for, given the lines that are landed and what became of earlier requests. Knows neither Dagster nor files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from memloop_assets.trajectories.log_index import WeekRequest
from memloop_assets.weeks import IsoWeek

RunOutcome = Literal["none", "underway", "done", "failed"]
TRIES = 3


@dataclass(slots=True)
class RequestPlan:
    """What to ask for now, what is settled by now, weeks over the limit of one tick, and weeks that failed too often to be asked again."""

    asked: list[WeekRequest] = field(default_factory=list)
    settled: list[WeekRequest] = field(default_factory=list)
    later: list[IsoWeek] = field(default_factory=list)
    given_up: list[IsoWeek] = field(default_factory=list)


def plan_requests(
    landed: Mapping[IsoWeek, str],
    built: Callable[[IsoWeek], str | None],
    earlier: Mapping[IsoWeek, WeekRequest],
    outcome_of: Callable[[str], RunOutcome],
    limit: int,
) -> RequestPlan:
    """Decide per week: ask once for every digest of its lines, again (three times at most) where that run failed.

    ``landed`` maps the weeks that are offered to the digests of their lines, ``built`` tells the digest that a week's table was built from.
    A request whose run is nowhere to be found is repeated under the same key, which starts nothing that was started.
    """
    plan = RequestPlan()
    for week, digest in sorted(landed.items()):
        before = earlier.get(week)
        if before is None or before.digest != digest:
            wanted = None if built(week) == digest else WeekRequest(week, digest)
        elif before.is_settled:
            wanted = None
        else:
            wanted = _again(before, outcome_of(before.run_key), plan)
        if wanted and len(plan.asked) < limit:
            plan.asked.append(wanted)
        elif wanted:
            plan.later.append(week)
    return plan


def _again(before: WeekRequest, outcome: RunOutcome, plan: RequestPlan) -> WeekRequest | None:
    if outcome == "none":
        return before
    if outcome == "done":
        plan.settled.append(replace(before, is_settled=True))
    if outcome == "failed" and before.try_number < TRIES:
        return replace(before, try_number=before.try_number + 1)
    if outcome == "failed":
        plan.given_up.append(before.week)
    return None
