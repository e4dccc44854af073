"""What ``memloop status``, ``report`` and ``backfill`` print: settings, weeks, champion, decisions, as text that fits on a screen."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from memloop_assets.benchmarks.standing import HOW_TO_GET_ONE, shortage_of
from memloop_assets.benchmarks.suite import load_suite
from memloop_assets.errors import BadInput, MemloopError
from memloop_assets.home import ROOM_SETTINGS, Home
from memloop_assets.promotion.attempts import Attempt, Attempts
from memloop_assets.promotion.champion import ledger_fault
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.reasons import in_share
from memloop_assets.promotion.tables import would_decide
from memloop_assets.routing.versions import LedgerRow
from memloop_assets.settings import Settings, build_section
from memloop_assets.staleness import moved_weeks, stale_range
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
_SHOWN = 5
_SCREEN_LINES = 40
_LONG_SECTIONS = ("Controls", "Other tests", "Where it comes from")
_DECIDED = ("outcome", "champion_after", "challenger")


def status_lines(home: Home, *, is_whole: bool = False) -> Iterator[str]:
    """Yield the home's weeks, its champion, what does not stand well and the settings that are not at their defaults, on one screen.

    ``is_whole``: every table, every week that does not stand well, and every setting with its value.
    """
    settings = home.settings
    yield f"home      {settings.home}"
    yield f"data      {home.places.data}"
    yield f"first     {home.first_week}{'' if settings.first_week else ' (default: the first ingest sets it)'}"
    logged = home.landing.weeks()
    yield f"logs      {f'{logged[0]}..{logged[-1]}' if logged else 'none ingested: memloop ingest PATH'}"
    yield from _table_lines(home) if is_whole else _table_summary(home)
    yield from _some(_failed_lines(home), is_whole=is_whole)
    *stale, fix = [*stale_lines(home)] or [""]
    yield from _some(stale, is_whole=is_whole)
    yield from [fix] if fix else []
    rows = home.ledger.rows()
    yield f"champion  {home.ledger.champion_as_of()}"
    canary = home.ledger.canary_as_of()
    if canary:
        yield f"canary    {canary.version}, {in_share(canary.share)} of the sessions since the decision of {canary.since}"
    yield f"decided   {len(rows)} weeks, {sum(row.action == 'promote' for row in rows)} promoted"
    yield from _some(_second_thoughts(home, rows), is_whole=is_whole)
    attempts = Attempts(home.state, home.places.training_reports).rows()
    newest = f", newest {attempts[-1].report_id}: {attempts[-1].outcome}" if attempts else ""
    yield f"reports   {len(attempts)} attempts{newest}"
    yield from _forgotten_lines(home)
    fault = ledger_fault(home.places.champion, rows)
    if fault:
        yield f"ledger    {fault.culprit}. Fix: {fault.fix}"
    yield f"benchmark {_benchmark_line(home)}"
    yield from _setting_lines(settings) if is_whole else _changed_settings(settings)


def _setting_lines(settings: Settings) -> Iterator[str]:
    yield "settings"
    for name, value in _all_settings(settings).items():
        yield f"  {name} = {json.dumps(value)}"


def _changed_settings(settings: Settings) -> Iterator[str]:
    """Yield the settings that are not at their defaults; of arms, the names."""
    yield "settings  memloop status --all prints every one; not at their defaults:"
    plain = _all_settings(Settings(settings.home))
    for name, value in _all_settings(settings).items():
        if name == "arms":
            yield f"  arms: {', '.join(settings.arms) or 'none'}"
        elif isinstance(value, dict):
            usual: Any = plain[name]
            changed = [f"{key} = {json.dumps(one)}" for key, one in value.items() if one != usual[key]]
            if changed:
                yield f"  [{name}] {', '.join(changed)}"
        elif value != plain[name]:
            yield f"  {name} = {json.dumps(value)}"


def _all_settings(settings: Settings) -> dict[str, object]:
    """Return every setting with its value, by section, those of rooms included."""
    shown = settings.as_dict()
    for name, kind in ROOM_SETTINGS.items():
        shown[name] = _filled(name, kind, shown)
    return shown


def _some(lines: Iterable[str], *, is_whole: bool) -> Iterator[str]:
    """Yield all lines, or the first few and how many there are more."""
    listed = [*lines]
    shown = listed if is_whole or len(listed) <= _SHOWN + 1 else listed[:_SHOWN]
    yield from shown
    if len(shown) < len(listed):
        yield f"  and {len(listed) - len(shown):,} more: memloop status --all"


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


def find_attempt(home: Home, name: str) -> Attempt:
    """Return the attempt that a week or a report's id names; raises as ``Attempts.find`` does, with what reports there are."""
    attempts = Attempts(home.state, home.places.training_reports)
    try:
        return attempts.find(name)
    except BadInput as error:
        weeks = sorted({IsoWeek.parse(row.week) for row in attempts.rows()})
        if not weeks:
            raise
        week = name.partition(".")[0].strip()
        newest = [row.report_id for row in attempts.rows() if row.week == week][-1:]
        there = f"the newest of that week is {newest[0]}" if newest else f"weeks with reports: {_spans(weeks)}"
        raise BadInput(error.thing, error.culprit, there) from None


def short_page(page: str, report_id: str) -> str:
    """Return a report's page as it fits on a screen: a longer one up to what was measured, and how to see the rest."""
    places = {heading: place for heading in _LONG_SECTIONS if (place := page.find(f"\n## {heading}\n")) >= 0}
    if page.count("\n") <= _SCREEN_LINES or not places:
        return page
    told = page[: min(places.values())].rstrip()
    return f"{told}\n\nLeft out: {', '.join(places).lower()}. memloop report {report_id} --all prints everything.\n"


def _spans(weeks: Iterable[IsoWeek]) -> str:
    """Return weeks in ascending order as text, neighbours as a range: ``2026-W02..2026-W05, 2026-W09``."""
    spans: list[list[IsoWeek]] = []
    for week in weeks:
        if spans and spans[-1][1].shift(1) == week:
            spans[-1][1] = week
        else:
            spans.append([week, week])
    return ", ".join(str(first) if first == last else f"{first}..{last}" for first, last in spans)


def _table_lines(home: Home) -> Iterator[str]:
    for name, span in _table_spans(home).items():
        yield f"table     {name:<20} {span}"


def _table_summary(home: Home) -> Iterator[str]:
    """Yield one line for most tables, and one for each group of others that stand elsewhere."""
    groups: dict[str, list[str]] = {}
    for name, span in _table_spans(home).items():
        groups.setdefault(span, []).append(name)
    for number, (span, names) in enumerate(sorted(groups.items(), key=lambda group: -len(group[1]))):
        yield f"tables    {span}: {f'{len(names)} tables' if number == 0 and len(names) > 1 else ', '.join(names)}"


def _table_spans(home: Home) -> dict[str, str]:
    """Return the tables that were ever written, each with how many weeks it has and the newest."""
    found = {}
    for name in WEEKLY_TABLES:
        weeks = home.store.weeks(name)
        if weeks or home.store.failures(name):
            found[name] = f"{len(weeks)} weeks, newest {weeks[-1]}" if weeks else "no week"
    return found


def _failed_lines(home: Home) -> Iterator[str]:
    for name in WEEKLY_TABLES:
        for week, reason in home.store.failures(name).items():
            yield f"  failed  {name} {week}: {reason}"


def stale_lines(home: Home) -> Iterator[str]:
    """Yield per table the weeks whose inputs have moved on since they were built, and last how to build them again."""
    moved = moved_weeks(home.store, WEEKLY_TABLES, home.landing.landed_lines())
    for name, weeks in moved.items():
        why = sorted({label for labels in weeks.values() for label in labels})
        more = f" and {len(why) - 3} more" if len(why) > 3 else ""
        yield f"stale     {name:<20} {_spans(sorted(weeks))}: {', '.join(why[:3])}{more} moved on"
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
