"""The agent's side: light to import, loads what was promoted and nothing else, never changes anything."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from memloop_assets.client import Choice, load_champion
from memloop_assets.errors import BadCheckpoint
from memloop_tests.scenario import FIRST, champion_of, filled_home, finished_home, run_weeks_through_dagster

HEAVY = ("dagster", "pandas", "pyarrow", "sklearn", "scipy", "sqlalchemy", "matplotlib", "alembic", "orjson", "torch")
REQUEST = "Convert 12 inches to centimetres"


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_importing_the_client_loads_nothing_heavy() -> None:
    code = "import sys, memloop_assets.client; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(in_a_fresh_process(code).split())
    assert "numpy" in loaded
    assert not loaded & set(HEAVY)


def test_loading_and_choosing_loads_nothing_heavy_either(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    code = (
        "import sys; from memloop_assets.client import load_champion\n"
        f"choice = load_champion({str(home.places.data)!r}).choose({REQUEST!r})\n"
        "print(choice.arm, *{name.split('.')[0] for name in sys.modules})"
    )
    arm, *loaded = in_a_fresh_process(code).split()
    assert arm == load_champion(home.places.data).choose(REQUEST).arm
    assert not set(loaded) & set(HEAVY)


def test_before_the_first_promotion_the_best_single_arm_serves_everything(tmp_path: Path) -> None:
    home = filled_home(tmp_path / "home")
    with pytest.raises(BadCheckpoint, match="run `memloop backfill` first"):
        load_champion(home.places.data)
    assert run_weeks_through_dagster(tmp_path / "home", FIRST).success
    router = load_champion(home.places.data)
    assert champion_of(home) == (champion_of(home) or {}) | {"policy": "best-single-arm", "version": router.version}
    assert {router.choose(text).arm for text in (REQUEST, "", "Was bedeutet das?")} == {router.rule.reference_arm}


def test_after_a_promotion_the_promoted_router_chooses(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    router = load_champion(str(home.places.data))
    assert router.version == home.ledger.champion_as_of()
    choice = router.choose(REQUEST)
    assert isinstance(choice, Choice)
    assert choice.arm in router.arms
    assert choice.reason


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["router.json", "term_weights.npy", "idf.npy", "costs_usd.npy"])
def test_a_checkpoint_that_was_tampered_with_is_refused(tmp_path: Path, name: str) -> None:
    home = finished_home(tmp_path / "home")
    spoil(home.places.router_versions / home.ledger.champion_as_of() / name)
    with pytest.raises(BadCheckpoint):
        load_champion(home.places.data)


def test_a_sound_checkpoint_that_is_not_the_promoted_one_is_refused(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    live = home.ledger.champion_as_of()
    other = next(path for path in home.places.router_versions.iterdir() if path.name != live)
    shutil.rmtree(home.places.router_versions / live)
    other.rename(home.places.router_versions / live)
    with pytest.raises(BadCheckpoint, match="not the one that"):
        load_champion(home.places.data)


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '"text"', '{"version": 1}', '{"version": "../../etc", "sha256": ""}']
)
def test_a_pointer_that_makes_no_sense_is_refused_by_name(tmp_path: Path, content: str) -> None:
    home = finished_home(tmp_path / "home")
    home.places.champion.write_text(content)
    with pytest.raises(BadCheckpoint):
        load_champion(home.places.data)


def test_loading_writes_nothing(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    before = {path: path.stat().st_mtime_ns for path in home.places.data.rglob("*") if path.suffix != ".sqlite-shm"}
    load_champion(home.places.data).choose(REQUEST)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert json.loads(home.places.champion.read_text())["version"]
