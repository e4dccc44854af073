"""The demo: a home of its own, apart from everything else, that tells how to leave it."""

import os
from pathlib import Path

import pytest

from memloop_assets.cli import main
from memloop_assets.demo import run_demo
from memloop_assets.errors import BadInput
from memloop_tests.scenario import FIRST


def test_a_folder_that_is_no_demo_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "data" / "demo" / "precious.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    with pytest.raises(BadInput, match="not a demo"):
        run_demo(tmp_path, FIRST, 1, 0, os.environ)
    assert kept.read_text() == "mine"


def test_a_small_demo_decides_its_weeks_tells_the_truth_beside_them_and_touches_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEMLOOP_FIRST_WEEK")
    assert main(["--home", str(tmp_path), "demo", "--weeks", "2", "--last-week", "2026-W03"]) == 0
    said = capfd.readouterr()
    lines = said.out.splitlines()
    assert [line[:4] for line in lines if line[1:3] == "/4"] == ["1/4 ", "2/4 ", "3/4 ", "4/4 "]
    decided = [line.split() for line in lines if line.startswith("2026-W")]
    assert [line[:2] for line in decided] == [["2026-W02", decided[0][1]], ["2026-W03", decided[1][1]]]
    assert {line[1] for line in decided} <= {"promote", "reject", "hold", "skip", "error"}
    assert "of the best single arm's true reward" in said.out
    assert "% of the oracle's gain net of cost" in said.out
    assert "memloop --home data/demo ui" in said.out
    assert "rm -r data/demo" in said.out
    assert said.err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["demo"]
