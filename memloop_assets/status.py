"""What ``memloop status`` and ``memloop backfill`` print: settings, weeks, champion, decisions, as lines of text."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memloop_assets.benchmarks.standing import HOW_TO_GET_ONE, shortage_of
from memloop_assets.benchmarks.suite import load_suite
from memloop_assets.errors import MemloopError
from memloop_assets.home import Home
from memloop_assets.promotion.attempts import Attempts
from memloop_assets.promotion.champion import ledger_fault
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.tables import would_decide
from memloop_assets.routing.training import TrainingSettings
from memloop_assets.routing.versions import LedgerRow
from memloop_assets.settings import build_section
from memloop_assets.staleness import moved_weeks, stale_range
from memloop_assets.trajectories.redaction import RedactionSettings
from memloop_assets.weeks import IsoWeek, weeks_between

WEEKLY_TABLES = (
    "session_logs",
    "trajectories",
    "quarantined_lines",
    "trajectory_quality",
    "sft_examples",
    "preference_pairs",
    "router_samples",
    "dataset_snapshot",
    "router_checkpoint",
    "benchmark_results",
    "promotion_decision",
    "training_report",
)


_DECIDED = ("outcome", "champion_after", "challenger")


def status_lines(home: Home) -> Iterator[str]:
    """Yield the home's settings with their values, its weeks, its champion and what stands failed."""
    settings = home.settings
    yield f"home      {settings.home}"
    yield f"data      {home.places.data}"
    yield f"first     {home.first_week}{'' if settings.first_week else ' (default: the first ingest sets it)'}"
    logged = home.landing.weeks()
    yield f"logs      {f'{logged[0]}..{logged[-1]}' if logged else 'none ingested: memloop ingest PATH'}"
    yield from _table_lines(home)
    yield from stale_lines(home)
    rows = home.ledger.rows()
    yield f"champion  {home.ledger.champion_as_of()}"
    yield f"decided   {len(rows)} weeks, {sum(row.action == 'promote' for row in rows)} promoted"
    yield from _second_thoughts(home, rows)
    attempts = Attempts(home.state, home.places.training_reports).rows()
    newest = f", newest {attempts[-1].report_id}: {attempts[-1].outcome}" if attempts else ""
    yield f"reports   {len(attempts)} attempts{newest}"
    yield from _forgotten_lines(home)
    fault = ledger_fault(home.places.champion, rows)
    if fault:
        yield f"ledger    {fault.culprit}. Fix: {fault.fix}"
    yield f"benchmark {_benchmark_line(home)}"
    yield "settings"
    shown = settings.as_dict()
    shown["redaction"] = _filled("redaction", RedactionSettings, shown)
    shown["routing"] = _filled("routing", TrainingSettings, shown)
    shown["promotion"] = _filled("promotion", PromotionPolicy, shown)
    for name, value in shown.items():
        yield f"  {name} = {json.dumps(value)}"


def _forgotten_lines(home: Home) -> Iterator[str]:
    """Yield how many people were forgotten, and whether a forgetting was stopped on its way."""
    events, unfinished = home.landing.forgotten.events(), home.landing.forgotten.unfinished()
    if events:
        people = len({event.user_hash for event in events} - unfinished)
        yield f"forgotten {people} people, newest {events[-1].at[:10]}"
    if unfinished:
        yield f"  stopped {len(unfinished)} on their way. Fix: run `memloop forget --user ID` again with the same id"


def decision_lines(home: Home, first: IsoWeek, last: IsoWeek) -> Iterator[str]:
    """Yield one line per decided week: outcome, interval of utility, versions, first reason."""
    yield "week      outcome  utility difference [lower bound]  champion after            why"
    for week in weeks_between(first, last):
        yield decision_line(home, week)


def dry_run_lines(home: Home, first: IsoWeek, last: IsoWeek) -> Iterator[str]:
    """Yield one line per week: what the newest dry run of it came to, and its report's id."""
    attempts = Attempts(home.state, home.places.training_reports)
    yield "dry run: nothing was recorded, published or promoted"
    for week in weeks_between(first, last):
        rehearsed = [row for row in attempts.rows(week) if row.is_dry_run]
        if not rehearsed:
            yield f"{week}  -        it was not rehearsed"
            continue
        report = attempts.get_report(rehearsed[-1].report_id)
        yield f"{week}  {report['outcome']:<7}  {report['id']:<12}  {' '.join(report['reasons'][:2])}"


def decision_line(home: Home, week: IsoWeek) -> str:
    """Return one week's decision as a line; a week that was not decided says so.

    Where the ledger's first decision was another, that is the line, and what would be decided now stands below it.
    """
    try:
        row = home.store.read("promotion_decision", week).to_pylist()[0]
    except MemloopError as error:
        return f"{week}  -        {error.culprit}"
    why = " ".join(json.loads(row["reasons_json"])[:2])
    columns = f"{_utility(row):<32}  {row['champion_after']:<24}  {why}"
    standing = home.ledger.decision_of(week)
    if standing is None or not standing.is_other(row["outcome"], row["champion_after"]):
        return f"{week}  {row['outcome']:<7}  {columns}"
    stands = f"{_utility(json.loads(standing.numbers_json)):<32}  {standing.to_version:<24}"
    return f"{week}  {standing.action:<7}  {stands}  {standing.reason}\n  would now {row['outcome']:<7}  {columns}"


def _utility(numbers: Mapping[str, Any]) -> str:
    delta, lower = numbers.get("utility_delta"), numbers.get("utility_delta_lower")
    return f"{delta:+.4f} [{lower:+.4f}]" if delta is not None and lower is not None else "-"


def _table_lines(home: Home) -> Iterator[str]:
    for name in WEEKLY_TABLES:
        weeks = home.store.weeks(name)
        failed = home.store.failures(name)
        if weeks or failed:
            span = f"{len(weeks)} weeks, newest {weeks[-1]}" if weeks else "no week"
            yield f"table     {name:<20} {span}"
        for week, reason in failed.items():
            yield f"  failed  {week}: {reason}"


def stale_lines(home: Home) -> Iterator[str]:
    """Yield per table the weeks whose inputs have moved on since they were built, and last how to build them again."""
    moved = moved_weeks(home.store, WEEKLY_TABLES, home.landing.landed_lines())
    for name, weeks in moved.items():
        why = sorted({label for labels in weeks.values() for label in labels})
        more = f" and {len(why) - 3} more" if len(why) > 3 else ""
        yield f"stale     {name:<20} {', '.join(map(str, weeks))}: {', '.join(why[:3])}{more} moved on"
    span = stale_range(moved)
    if span:
        yield f"  fix     memloop backfill {span[0]}..{span[1]}"


def _benchmark_line(home: Home) -> str:
    """Return which benchmark is in use, and what it lacks for the gate."""
    path = home.places.benchmark_suite
    shortage = shortage_of(path)
    if shortage:
        return shortage
    try:
        suite = load_suite(path)
    except MemloopError as error:
        return str(error)
    count = len(suite.tasks_of("holdout"))
    required = home.settings.section("promotion", PromotionPolicy).required_task_count
    lacking = f"; the gate holds below {required:,}: {HOW_TO_GET_ONE}" if count < required else ""
    return f"{suite.name} {suite.version}, {count:,} holdout tasks{lacking}"


def _second_thoughts(home: Home, rows: Sequence[LedgerRow]) -> Iterator[str]:
    """Yield the decided weeks that would be decided otherwise now; their first decision stands."""
    for row in rows:
        try:
            (now,) = home.store.read("promotion_decision", IsoWeek.parse(row.week), list(_DECIDED)).to_pylist()
        except MemloopError:
            continue  # its failure is listed with the tables
        if row.actor == "gate" and row.is_other(now["outcome"], now["champion_after"]):
            yield f"  {row.week}  decided {row.action}, which stands; now it {would_decide(now)}"


def _filled(name: str, kind: type[Any], shown: dict[str, object]) -> dict[str, object]:
    """Return a room's section with the defaults of what it leaves out."""
    values: Any = build_section(f"[{name}]", kind, shown[name])
    return dataclasses.asdict(values)
