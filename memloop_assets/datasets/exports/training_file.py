"""One training file: the examples of a range of weeks, written for one trainer, with what could not be written and a card beside it.

Reads published tables and writes the file; which examples are worth teaching was decided when the tables were built.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import orjson

from memloop_assets.datasets.conversations import trim_to_last_answer
from memloop_assets.datasets.exports.splitting import Side, split_examples
from memloop_assets.datasets.exports.trainer import Pair, Trainer
from memloop_assets.datasets.leakage import HoldoutKeys, NearHoldout, drop_holdout, holdout_keys, with_task_text
from memloop_assets.datasets.tables import PREFERENCE_PAIRS, SFT_EXAMPLES
from memloop_assets.errors import BadInput, ContractBroken, InputFailed
from memloop_assets.store import Store, write_atomically
from memloop_assets.trajectories.secret_rules import RULES, Rule
from memloop_assets.trajectories.secret_verdict import RULE_NAME, secrets_in
from memloop_assets.weeks import IsoWeek, weeks_between

Kind = Literal["sft", "preferences"]
KINDS: Mapping[str, str] = {"sft": SFT_EXAMPLES.name, "preferences": PREFERENCE_PAIRS.name}


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What one export read, what it wrote, and why the rest is missing.

    ``raw_faults`` counts what the trainer would refuse of the conversations as logged, ``faults`` what it refuses of them once trimmed to
    their last answer, which is how they are written; for pairs the two are equal. ``generations`` maps the tables' weeks to what was read.
    ``left_behind``: the name of a validation file of an earlier export that this one, without a split, left where it lay.
    """

    kind: str
    trainer: str
    file_name: str
    weeks: str
    example_count: int
    written_count: int
    raw_faults: Mapping[str, int]
    faults: Mapping[str, int]
    duplicate_count: int
    holdout_excluded_count: int
    missing_weeks: Sequence[str]
    generations: Mapping[str, str]
    how_to_load: str
    certain_rule_count: int
    validation_name: str = ""
    validation_count: int = 0
    straddling: Mapping[str, int] = field(default_factory=dict)
    left_behind: str = ""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """The rules of redaction that are on, and how the file is written.

    ``validation_share``: which share of the user groups is written apart (None: no split). ``may_replace``: also where files lie there.
    """

    rules: Sequence[Rule] = RULES
    validation_share: float | None = None
    may_replace: bool = False


def export_file(  # noqa: PLR0913, PLR0917  # what, for whom, of when, where to, how
    store: Store,
    kind: Kind,
    trainer: Trainer,
    weeks: tuple[IsoWeek, IsoWeek],
    out: Path,
    how: ExportOptions | None = None,
) -> ExportReport:
    """Write the examples of a range of weeks as JSON lines, and the card ``<file>.card.md`` beside it.

    An example that several weeks hold is written once, of the earliest; a task of the present holdout, or one that nearly repeats it, is
    not written, whatever the tables hold. The same generations give the same bytes. Raises InputFailed where no week of the range can be
    read, BadInput where ``out`` cannot be a file or one lies there that may not be replaced, ContractBroken where a certain rule still
    finds a secret in what would be written: nothing is written then.
    """
    how = how or ExportOptions()
    if out.is_dir() or not out.parent.is_dir():
        raise BadInput("--out", f"{out.name or out} cannot be written there", "name a file in a folder that exists")
    if not how.may_replace:
        _refuse_to_replace(out)
    reading = _Reading(store, kind, weeks)
    written: list[tuple[Mapping[str, str], bytes]] = []
    secret: Counter[str] = Counter()
    raw_faults: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for row in reading.rows():
        raw_fault, fault, record = _write_row(kind, trainer, row)
        raw_faults.update([raw_fault] if raw_fault else [])
        faults.update([fault] if fault else [])
        if record is not None:
            secret.update(f"{row['week']} {rule}" for rule in secrets_in(record, how.rules))
            written.append((row, orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)))
    _refuse_secrets(out.name, secret)
    sides, straddling = _split(store, KINDS[kind], written, how.validation_share)
    report = ExportReport(
        kind=kind,
        trainer=trainer.name,
        file_name=out.name,
        weeks=f"{weeks[0]}..{weeks[1]}",
        example_count=reading.example_count,
        written_count=len(sides["training"]),
        raw_faults=dict(sorted(raw_faults.items())),
        faults=dict(sorted(faults.items())),
        duplicate_count=reading.duplicate_count,
        holdout_excluded_count=reading.holdout_excluded_count,
        missing_weeks=reading.missing,
        generations=reading.generations,
        how_to_load=trainer.how_to_load(kind, out.name),
        certain_rule_count=sum(rule.is_certain for rule in how.rules),
        validation_name="" if how.validation_share is None else validation_path(out).name,
        validation_count=len(sides["validation"]),
        straddling=straddling,
        left_behind=validation_path(out).name if how.validation_share is None and validation_path(out).exists() else "",
    )
    write_atomically(out, b"".join(sides["training"]))
    if how.validation_share is not None:
        write_atomically(validation_path(out), b"".join(sides["validation"]))
    write_atomically(_card_path(out), card_of(report).encode())
    return report


def validation_path(out: Path) -> Path:
    """Return where the examples for validation are written: ``train.validation.jsonl`` beside ``train.jsonl``."""
    return out.with_name(f"{out.stem}.validation{out.suffix}")


def _card_path(out: Path) -> Path:
    return out.with_name(f"{out.name}.card.md")


def _refuse_to_replace(out: Path) -> None:
    """Raise BadInput where the file, its card or its validation file lies there: one of an earlier export may share rows with this one."""
    there = [path.name for path in (out, _card_path(out), validation_path(out)) if path.exists()]
    if there:
        raise BadInput("--out", f"{', '.join(there)} lies there", "name another file, or replace it with --force")


def _refuse_secrets(file_name: str, found: Counter[str]) -> None:
    if found:
        weeks = sorted({name.split()[0] for name in found})
        listed = ", ".join(f"{count} x {name}" for name, count in sorted(found.items()))
        raise ContractBroken(
            file_name,
            f"{RULE_NAME}: {listed}; nothing was written",
            f"memloop backfill {weeks[0]}..{weeks[-1]}, which redacts these weeks by the rules that are on now",
        )


def _split(
    store: Store, table: str, written: Sequence[tuple[Mapping[str, str], bytes]], share: float | None
) -> tuple[Mapping[Side, list[bytes]], Mapping[str, int]]:
    """Return the lines of each side, and how many examples are on neither, by reason."""
    sides: dict[Side, list[bytes]] = {"training": [], "validation": []}
    if share is None:
        sides["training"] = [line for _, line in written]
        return sides, {}
    straddling: Counter[str] = Counter()
    for (_, line), side in zip(written, split_examples(store, table, [row for row, _ in written], share), strict=True):
        if side in sides:
            sides[side].append(line)
        else:
            straddling[side] += 1
    return sides, dict(sorted(straddling.items()))


def _write_row(
    kind: Kind, trainer: Trainer, row: Mapping[str, str]
) -> tuple[str | None, str | None, Mapping[str, object] | None]:
    """Return the fault of an example as it is, its fault as it would be written, and its record where it has none."""
    if kind == "sft":
        raw = orjson.loads(row["messages_json"])
        chat = trim_to_last_answer(raw)
        fault = trainer.sft_fault(chat)
        return trainer.sft_fault(raw), fault, None if fault else trainer.sft_record(chat)
    pair: Pair = tuple(orjson.loads(row[name]) for name in ("prompt_json", "chosen_json", "rejected_json"))
    fault = trainer.pair_fault(pair)
    return fault, fault, None if fault else trainer.pair_record(pair)


class _Reading:
    """The examples of a range of weeks, each once, with counts of what was left out on the way."""

    def __init__(self, store: Store, kind: Kind, weeks: tuple[IsoWeek, IsoWeek]) -> None:
        self.store, self.table = store, KINDS[kind]
        self.example_count = self.duplicate_count = self.holdout_excluded_count = 0
        self.generations: dict[str, str] = {}
        self.missing: list[str] = []
        self.holdout: HoldoutKeys = frozenset()
        self.near: NearHoldout | None = None
        if store.is_readable("benchmark_suite", None):
            self.near = NearHoldout(store)
            self.generations.update(store.input_of("benchmark_suite", None))
            self.holdout = holdout_keys(store.read("benchmark_suite", None))
        self.weeks = [week for week in weeks_between(*weeks) if store.is_readable(self.table, week)]
        self.missing = [str(week) for week in weeks_between(*weeks) if week not in self.weeks]
        if not self.weeks:
            raise InputFailed(
                f"{self.table} {weeks[0]}..{weeks[1]}",
                "none of these weeks can be read",
                f"memloop backfill {weeks[0]}..{weeks[1]}",
            )

    def rows(self) -> Iterator[Mapping[str, str]]:
        seen: set[str] = set()
        for week in self.weeks:
            self.generations.update(self.store.input_of(self.table, week))
            rows, excluded = drop_holdout(self.store.read(self.table, week), self.holdout)
            self.holdout_excluded_count += excluded
            if self.near and self._was_built_under_another_benchmark(week):
                rows, excluded = self.near.drop(with_task_text(rows))
                self.holdout_excluded_count += excluded
            for row in rows.to_pylist():
                if row["example_id"] in seen:
                    self.duplicate_count += 1
                    continue
                seen.add(row["example_id"])
                self.example_count += 1
                yield row

    def _was_built_under_another_benchmark(self, week: IsoWeek) -> bool:
        built_under = self.store.manifest(self.table, week)["inputs"].get("benchmark_suite")
        return bool(built_under != self.store.generation("benchmark_suite", None))


def report_lines(report: ExportReport) -> Iterator[str]:
    """Yield what an export did, as lines of text for people."""
    total = report.example_count
    trainable = total - sum(report.faults.values())
    yield f"{report.file_name}: {report.written_count:,} of {total:,} examples written for {report.trainer}, {report.weeks}"
    if report.validation_name:
        yield f"  {report.validation_name}: {report.validation_count:,} more, of other users, tasks and sessions"
        if report.straddling:
            yield f"  on neither side{_listed(report.straddling)}"
    if report.left_behind:
        yield f"  note: {report.left_behind} is of an earlier export: its rows may be in {report.file_name} too"
    if report.raw_faults != report.faults:
        yield f"  trainable as logged: {total - sum(report.raw_faults.values()):,} of {total:,}{_listed(report.raw_faults)}"
        yield f"  trimmed to the last answer: {trainable:,} of {total:,}{_listed(report.faults)}"
    elif report.faults:
        yield f"  not trainable{_listed(report.faults)}"
    if report.duplicate_count:
        yield f"  {report.duplicate_count:,} more are in several weeks and were written once"
    if report.holdout_excluded_count:
        yield f"  {report.holdout_excluded_count:,} more are tasks of the holdout, or nearly repeat one, and were left out"
    if report.missing_weeks:
        yield f"  weeks that cannot be read: {', '.join(report.missing_weeks)}. Fix: memloop backfill {report.weeks}"


def card_of(report: ExportReport) -> str:
    """Return the dataset card: what the file holds and where each row comes from; it carries no clock and no path."""
    filters = {
        "sft": "HIGH and MEDIUM conversations of live or reviewed logs that are not known to have failed, trimmed to the last answer",
        "preferences": "two answers to the same prompt from live or reviewed logs whose known rewards differ by the configured margin",
    }
    lines = [
        f"# {report.file_name}",
        "",
        "- licence: (yours to fill in: memloop does not know what your logs may be used for)",
        f"- kind: {report.kind}, shape: {report.trainer}",
        f"- rows: {report.written_count} of {report.example_count} examples",
        f"- weeks: {report.weeks}"
        + (f"; could not be read: {', '.join(report.missing_weeks)}" if report.missing_weeks else ""),
        f"- filters: {filters[report.kind]}; each conversation once; tasks of the holdout benchmark left out",
        f"- left out: {report.duplicate_count} repeats of an earlier week, {report.holdout_excluded_count} of the holdout or near it",
        f"- secrets: none of {report.certain_rule_count} certain rules of redaction finds one in the file",
        *_split_lines(report),
        f"- not trainable as logged: {sum(report.raw_faults.values())}{_listed(report.raw_faults)}",
        f"- not trainable as written: {sum(report.faults.values())}{_listed(report.faults)}",
        "- tool definitions: not logged, so not in the file; add them where your trainer's template needs them",
        "",
        "## How to load it",
        "",
        report.how_to_load,
        "",
        "## Where it comes from",
        "",
        "| table and week | generation |",
        "|---|---|",
        *(f"| {name} | `{generation}` |" for name, generation in sorted(report.generations.items())),
    ]
    return "\n".join(lines) + "\n"


def _split_lines(report: ExportReport) -> Iterator[str]:
    if report.validation_name:
        yield (
            f"- validation: {report.validation_count} more rows in {report.validation_name}; no user group, task or session is on both "
            f"sides; on neither: {sum(report.straddling.values())}{_listed(report.straddling)}"
        )


def _listed(faults: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{count} {name}' for name, count in faults.items())})" if faults else ""
