"""The section of a report on the controls: what each is, what it should say, and what it said that week.

Words alone; what a control is held against, and what follows, is said in ``controls`` and ``vetoes``.
"""

from collections.abc import Mapping
from typing import Any

from memloop_assets.promotion.controls import AA_TWIN, NO_OP

SHUFFLED = "shuffled"
_NOTHING = "## Controls\n\nNo control was run: no challenger was compared with the champion on a benchmark."
_LEAD = (
    "Comparisons whose answer is known, put to the same gate in the same week. A twin that is promoted now and then is the gate's known "
    "error; one that is promoted more often than the table says is a gate that errs more than it should."
)
_TOLD = {
    AA_TWIN: (
        "A/A twin",
        "the challenger's recipe on the same samples with another seed, held against the challenger",
        "any outcome but promote, in all but 1 of {one_in} weeks",
    ),
    SHUFFLED: (
        "shuffled",
        "the challenger's recipe on rewards dealt out at random: nothing to learn",
        "the challenger is better, else it is vetoed",
    ),
    NO_OP: (
        "no-op",
        "the champion, loaded and scored a second time, held against itself",
        "reject, the same choices; any difference is an error of the week",
    ),
}
CONTROLS = tuple(_TOLD)


def controls_section(report: Mapping[str, Any]) -> str:
    """Return the section of a report; all three controls stand in it wherever a challenger was compared on a benchmark."""
    findings = {one["name"]: one for one in report["findings"] if one["name"] in CONTROLS}
    if not findings:
        return _NOTHING
    policy = report["policy"]
    one_in = f"{1 / (1 - policy['confidence']):.0f}"
    rows = []
    for name, (title, what, should) in _TOLD.items():
        found = findings.get(name)
        said = _absence(name, report) if found is None else f"{_mark(found, report['comparison'])}{found['sentence']}"
        rows.append(f"| {title} | {what} | {should.format(one_in=one_in)} | {said} |")
    head = "| control | what it is | should say | said |\n|---|---|---|---|"
    return "\n".join(["## Controls", "", _LEAD, "", head, *rows])


def _absence(name: str, report: Mapping[str, Any]) -> str:
    """Return why a control stands without an answer."""
    if name in report["policy"]["vetoes_off"]:
        return "switched off (`vetoes_off`)"
    if "veto_count" not in report["comparison"]:
        return "not asked: there was too little to compare"
    return "**missing**: decide the week again"


def _mark(found: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    """Return what stands out of a control's answer, nothing where it said what it should."""
    if found["is_against"]:
        return "**error**: " if found["name"] == NO_OP else "**veto**: "
    if found["name"] == AA_TWIN and comparison.get("aa_promoted_count"):
        return "**promoted**: "
    return "not tested: " if found["mean"] is None else ""
