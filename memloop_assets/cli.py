"""The ``memloop`` command: what people type. Users' mistakes end in one line; Dagster runs as another process.

Only parsing, calling and printing belong here.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from memloop_assets import __version__
from memloop_assets.benchmark_commands import add_benchmark
from memloop_assets.benchmarks.standing import shortage_of
from memloop_assets.command_parser import CommandParser
from memloop_assets.dagster_process import NOTHING_RAN, become_ui, run_backfill, run_forget
from memloop_assets.datasets.exports.catalogue import TRAINERS
from memloop_assets.datasets.exports.training_file import KINDS, ExportOptions, export_file, report_lines
from memloop_assets.demo import run_demo
from memloop_assets.disk_faults import find_disk_fault, is_of_home, naming_disk_faults
from memloop_assets.errors import BadInput, MemloopError
from memloop_assets.forgetting import find_person, forget_lines
from memloop_assets.home import Home, check_settings, is_home, open_home_now, require_home
from memloop_assets.promotion.attempts import Attempts
from memloop_assets.promotion.report import report_page
from memloop_assets.settings import find_home, load_settings, write_first_week
from memloop_assets.status import decision_lines, dry_run_lines, find_attempt, short_page, status_lines
from memloop_assets.trajectories.formats.catalogue import READERS
from memloop_assets.trajectories.formats.reader import ORIGINS
from memloop_assets.trajectories.quarantine import quarantine_lines
from memloop_assets.trajectories.redaction import RedactionSettings, redact_rejected
from memloop_assets.trajectories.secret_rules import Rule
from memloop_assets.trajectories.sniffing import AUTO, sniff
from memloop_assets.trajectories.sources import FileReport, ReadOptions, check_file, find_logs
from memloop_assets.weeks import IsoWeek, parse_week_range, weeks_between


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 after one line on standard error for a mistake that memloop can name."""
    try:
        arguments = build_parser().parse_args(argv)
        folder = Path(arguments.home).expanduser().resolve() if arguments.home else find_home(os.environ, Path.cwd())
        with naming_disk_faults(folder):
            if not arguments.makes_home:
                require_home(folder)
            check_settings(folder, os.environ)
            return int(arguments.run(arguments, folder))
    except MemloopError as error:
        print(f"memloop: {error}", file=sys.stderr)
    return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = CommandParser(prog="memloop", description="Turn an agent's logs into a better router, every ISO week.")
    parser.set_defaults(home=None, makes_home=False)
    parser.add_argument("--version", action="version", version=f"memloop {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    ingest = commands.add_parser("ingest", help="read logs into the home")
    ingest.add_argument("path", type=Path, help="a log file, or a folder of .jsonl and .json files")
    ingest.add_argument(
        "--format",
        default=AUTO,
        choices=[AUTO, *sorted(READERS)],
        help="shape of the log (default: auto, told from the first lines of each file)",
    )
    ingest.add_argument("--arm", help="the arm that served, for formats that do not log it")
    ingest.add_argument("--start-week", help="ISO week from which synthetic stamps run, for formats that log no time")
    ingest.add_argument(
        "--origin",
        default="live",
        choices=ORIGINS,
        help="who wrote the log (default: live); only live and review teach",
    )
    ingest.add_argument("--check", action="store_true", help="tell what would be read and what not, and store nothing")
    ingest.set_defaults(run=_ingest, makes_home=True)

    add_benchmark(commands)
    _add_runs(commands)

    _add_data(commands)

    quarantine = commands.add_parser("quarantine", help="the lines that could not be read: file, line and reason")
    quarantine.add_argument("weeks", nargs="?", help="FROM..TO, or one week (default: every week with logs)")
    quarantine.set_defaults(run=_quarantine)

    status = commands.add_parser("status", help="weeks, champion, decisions and settings of the home")
    status.add_argument("--all", action="store_true", help="every table, week and setting, whatever the length")
    status.set_defaults(run=_status)

    ui = commands.add_parser("ui", help="serve the Dagster UI of the home until interrupted")
    ui.add_argument("--port", type=int, default=3000, help="port on 127.0.0.1 (default: 3000)")
    ui.set_defaults(run=_ui)

    demo = commands.add_parser("demo", help="a simulated fleet, in a home of its own")
    demo.add_argument("--weeks", type=int, default=16, help="closed weeks to simulate (default: 16)")
    demo.add_argument("--last-week", help="last simulated week (default: the newest closed one)")
    demo.add_argument("--seed", type=int, default=0, help="seed of the simulated world (default: 0)")
    demo.set_defaults(run=_demo, makes_home=True)
    return parser


def _add_runs(commands: "argparse._SubParsersAction[CommandParser]") -> None:
    """Add what runs weeks and what tells of their attempts."""
    backfill = commands.add_parser("backfill", help="run the loop over weeks, in one run of one process")
    backfill.add_argument("weeks", help="FROM..TO, as 2026-W02..2026-W17, or one week")
    backfill.add_argument(
        "--dry-run", action="store_true", help="train, evaluate, decide and report; promote and record nothing"
    )
    backfill.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="after a backfill that was stopped, keep what it finished where nothing has changed since (default)",
    )
    backfill.set_defaults(run=_backfill)

    report = commands.add_parser("report", help="the report of an attempt at a week")
    report.add_argument("name", nargs="?", default="", help="a week (its newest attempt) or an id such as 2026-W12.3")
    report.add_argument("--json", action="store_true", help="print the whole report as JSON")
    report.add_argument(
        "--all", action="store_true", help="print the whole page, with every test and where it comes from"
    )
    report.set_defaults(run=_report)


def _add_data(commands: "argparse._SubParsersAction[CommandParser]") -> None:
    """Add what takes data out: into a training file, or out of the home for good."""
    export = commands.add_parser("export", help="write examples as a training file, in a trainer's own shape")
    export.add_argument("kind", choices=KINDS, help="supervised conversations, or preference pairs")
    export.add_argument("--for", dest="trainer", required=True, choices=TRAINERS, help="the trainer that will read it")
    export.add_argument("--weeks", required=True, help="FROM..TO, or one week")
    export.add_argument("--out", type=Path, required=True, help="the file; FILE.card.md is written beside it")
    export.add_argument(
        "--validation-share",
        type=float,
        help="write this share of the user groups (0 to 0.5) to FILE.validation.jsonl, with no task or session on both sides",
    )
    export.add_argument("--force", action="store_true", help="replace FILE and what lies beside it")
    export.set_defaults(run=_export)

    forget = commands.add_parser(
        "forget", help="remove one person's lines and rows, and keep their lines out from now on"
    )
    forget.add_argument("--user", required=True, help="the user id as the logs have it; - reads it from standard input")
    forget.add_argument("--dry-run", action="store_true", help="tell what would go, and change nothing")
    forget.set_defaults(run=_forget)


def _open(folder: Path) -> Home:
    return open_home_now(folder, os.environ)


def _ingest(arguments: argparse.Namespace, folder: Path) -> int:
    settings = load_settings(folder, os.environ)
    start = IsoWeek.parse(arguments.start_week) if arguments.start_week else None
    options = ReadOptions(arguments.format, settings.logs.timezone, arguments.origin, arguments.arm, start)
    if options.format != AUTO:
        options.check()
    rules = settings.section("redaction", RedactionSettings).rules
    paths = find_logs(arguments.path, apart_from=settings.places.data)
    if not arguments.check and not is_home(folder):
        print(f"new home  {folder}")
    home = None if arguments.check else _open(folder)  # a check leaves no trace: it opens no home
    reports, faults = [], 0
    for path in paths:
        name = os.fsencode(path.name).decode("utf-8", "backslashreplace")
        try:
            if name != path.name:
                raise BadInput("file name", "it is not UTF-8", "rename the file")
            shaped = replace(options, format=sniff(path)) if options.format == AUTO else options
            report = home.landing.ingest(path, shaped) if home else check_file(path, shaped)
        except (MemloopError, OSError) as error:
            if is_of_home(error):
                raise  # no other file would fare better
            faults += 1
            print(f"{name}: {find_disk_fault(error, path) or error}", file=sys.stderr)
            continue
        reports.append(report)
        _print_report(report, rules)
    weeks = sorted({week for report in reports for week in report.weeks})
    if home:
        _place_first_week(home, weeks)
    if weeks and home:
        shortage = shortage_of(home.places.benchmark_suite)
        if shortage:
            print(f"note: {shortage}")
        print(f"next: memloop backfill {weeks[0]}..{weeks[-1]}")
    return 1 if faults else 0


def _print_report(report: FileReport, rules: Sequence[Rule]) -> None:
    events = ", ".join(f"{count:,} {kind}" for kind, count in sorted(report.events.items()))
    weeks = f"{min(report.weeks)}..{max(report.weeks)}" if report.weeks else "no week"
    print(f"{report.path.name}: {report.status}, {report.line_count:,} lines ({events or 'no events'}), {weeks}")
    for item in report.rejected:
        text, reason, _ = redact_rejected(item, rules)
        print(f"  line {item.line_number}: {reason}: {text[:80]}")
    if report.rejected_count > len(report.rejected):
        print(f"  and {report.rejected_count - len(report.rejected):,} more lines that cannot be read")
    if report.forgotten_count:
        print(f"  {report.forgotten_count:,} lines of people who were forgotten were left out")
    if report.status == "unchanged":
        print("  these bytes were ingested before: nothing to do")
    elif report.events and report.status != "grown":
        for missing in report.gaps():
            print(f"  note: {missing}")


def _place_first_week(home: Home, weeks: Sequence[IsoWeek]) -> None:
    """Set the first week with the first ingest, or with the one that finishes it; tell how to widen it where older lines arrive later."""
    landed = home.landing.weeks()
    if home.settings.first_week is None and landed and not home.store.weeks("session_logs"):
        write_first_week(home.settings.home, landed[0])
    elif weeks and weeks[0] < home.first_week:
        print(
            f'note: {weeks[0]} lies before the first week {home.first_week}; kept. Fix: first_week = "{weeks[0]}" in memloop.toml'
        )


def _backfill(arguments: argparse.Namespace, folder: Path) -> int:
    first, last = parse_week_range(arguments.weeks)
    is_dry_run = arguments.dry_run
    flags = [*(["--dry-run"] if is_dry_run else []), *([] if arguments.resume else ["--no-resume"])]
    status = run_backfill(folder, first, last, os.environ, flags)
    if status == NOTHING_RAN:
        return 1
    lines = dry_run_lines if is_dry_run else decision_lines
    print(*lines(_open(folder), first, last), sep="\n")
    return status


def _export(arguments: argparse.Namespace, folder: Path) -> int:
    home = _open(folder)
    how = ExportOptions(
        rules=home.settings.section("redaction", RedactionSettings).rules,
        validation_share=arguments.validation_share,
        may_replace=arguments.force,
    )
    weeks = parse_week_range(arguments.weeks)
    report = export_file(home.store, arguments.kind, TRAINERS[arguments.trainer], weeks, arguments.out, how)
    print(*report_lines(report), sep="\n")
    return 0


def _forget(arguments: argparse.Namespace, folder: Path) -> int:
    user = sys.stdin.readline().rstrip("\n") if arguments.user == "-" else arguments.user
    if not arguments.dry_run:
        return run_forget(folder, user, os.environ)
    found = find_person(_open(folder), user)
    print(*forget_lines(found, is_rehearsal=True), sep="\n")
    return 1 if found.state == "unknown" else 0


def _report(arguments: argparse.Namespace, folder: Path) -> int:
    home = _open(folder)
    attempts = Attempts(home.state, home.places.training_reports)
    report = attempts.get_report(find_attempt(home, arguments.name).report_id)
    page = report_page(report)
    if arguments.json:
        page = json.dumps(report, indent=1, sort_keys=True)
    elif not arguments.all:
        page = short_page(page, report["id"])
    print(page)
    return 0


def _status(arguments: argparse.Namespace, folder: Path) -> int:
    print(*status_lines(_open(folder), is_whole=arguments.all), sep="\n")
    return 0


def _quarantine(arguments: argparse.Namespace, folder: Path) -> int:
    wanted = [*weeks_between(*parse_week_range(arguments.weeks))] if arguments.weeks else None
    home = _open(folder)
    print(*quarantine_lines(home.store, home.landing.weeks() if wanted is None else wanted), sep="\n")
    return 0


def _ui(arguments: argparse.Namespace, folder: Path) -> int:
    _open(folder).state.close()  # what Dagster would tell in many lines is said here in one
    become_ui(folder, arguments.port, os.environ)


def _demo(arguments: argparse.Namespace, folder: Path) -> int:
    last = IsoWeek.parse(arguments.last_week) if arguments.last_week else IsoWeek.of(datetime.now(tz=UTC)).shift(-1)
    return run_demo(folder, last.shift(1 - arguments.weeks), arguments.weeks, arguments.seed, os.environ)
