"""The pages that are made from the code are what the code says, and every page points only at what exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from memloop_assets.benchmarks import tables as benchmarks
from memloop_assets.contracts import Column, TableContract
from memloop_assets.datasets import tables as datasets
from memloop_assets.promotion import tables as promotion
from memloop_assets.routing import tables as routing
from memloop_assets.trajectories import tables as trajectories
from memloop_tests.architecture.source_tree import ROOT

ROOMS = {
    "trajectories": trajectories.TABLES,
    "datasets": datasets.TABLES,
    "routing": routing.TABLES,
    "benchmarks": benchmarks.TABLES,
    "promotion": promotion.TABLES,
}
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "data" / "README.md"])


def describe(column: Column) -> str:
    notes = [column.description]
    if column.allowed:
        notes.append(f"one of {', '.join(column.allowed)}")
    if column.minimum is not None and column.maximum is not None:
        notes.append(f"from {column.minimum} to {column.maximum}")
    elif column.minimum is not None:
        notes.append(f"at least {column.minimum}")
    return f"| `{column.name}` | {column.type} | {'yes' if column.nullable else ''} | {'; '.join(notes)} |"


def section(contract: TableContract) -> Iterator[str]:
    yield f"### `{contract.name}`\n\nOne row: {contract.row}. Key: {', '.join(f'`{name}`' for name in contract.key)}.\n"
    yield "| column | type | may be null | what |\n|---|---|---|---|"
    yield from (describe(column) for column in contract.columns)
    yield ""


def tables_page() -> str:
    lines = [
        "# Tables",
        "",
        "Made from the contracts in each room's `tables.py`; a test keeps this page equal to them.",
        "",
    ]
    for room, contracts in ROOMS.items():
        lines += [f"## {room}", ""]
        for contract in contracts:
            lines += section(contract)
    return "\n".join(lines).rstrip() + "\n"


def test_the_page_of_tables_is_what_the_contracts_say(request: pytest.FixtureRequest) -> None:
    page = ROOT / "docs" / "tables.md"
    if request.config.getoption("--rewrite-golden"):
        page.write_text(tables_page(), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == tables_page(), "run: pytest --rewrite-golden memloop_tests/architecture"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing
