"""Routers on disk: the same bytes for the same router, and nothing altered is ever served."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memloop_assets.errors import BadCheckpoint
from memloop_assets.featuriser import HAND_NAMES, Featuriser
from memloop_assets.routing.checkpoint import FORMAT, checkpoint_digest, load_checkpoint, save_checkpoint
from memloop_assets.routing.forest import Forest
from memloop_assets.routing.linear import Linear
from memloop_assets.routing.router import ChoiceRule, Router, single_arm_router
from memloop_assets.routing.task_memory import gather_memory

TEXTS = ("the cat", "The cat sat on the mat!", "", "zork", "übermut cat\n" * 5)


def some_forest(random: np.random.Generator) -> Forest:
    """Two trees: one that looks at the first direction, and one that is a single leaf."""
    return Forest(
        directions=random.normal(size=(4, 2)).astype(np.float32),
        node_inputs=np.array([0, 0, 0, 0], dtype=np.int32),
        thresholds=np.array([0.1, np.inf, np.inf, np.inf], dtype=np.float32),
        lefts=np.array([1, 1, 2, 3], dtype=np.int32),
        roots=np.array([0, 3], dtype=np.int32),
        leaf_places=np.array([-1, 0, 1, 2], dtype=np.int32),
        leaf_values=random.random((3, 2)).astype(np.float32),
        depth=1,
    )


def some_router(seed: int = 0) -> Router:
    random = np.random.default_rng(seed)
    return Router(
        kind="fitted",
        arms=("large", "small"),
        rule=ChoiceRule("large", delta=0.02, reward_floor=0.1, known_word_limit=0.3, latency_limit_ms=900.0),
        featuriser=Featuriser(
            ("cat", "the", "the cat", "übermut"), random.random(4), random.random(14), 1 + random.random(14)
        ),
        costs_usd=np.array([0.02, 0.001]),
        latencies_ms=np.array([np.nan, 300.0]),
        linear=Linear(
            intercepts=random.random(2),
            term_weights=random.normal(size=(4, 2)),
            hand_weights=random.normal(size=(len(HAND_NAMES), 2)),
            domains=("refunds",),
            domain_weights=random.normal(size=(1, 2)),
            domain_means=random.random((1, 2)),
            domain_shares=random.random((1, 2)),
        ),
        forest=some_forest(random),
        slopes=1 + random.random(2),
        shifts=random.random(2),
        term_variances=random.random((4, 2)).astype(np.float32),
        prior_variance=0.7,
        row_counts=(7, 9),
        memory=gather_memory(
            [("k" * 32, "the cat sat on the mat")],
            np.array([3]),
            np.array([[2.0, 1.0]]),
            np.array([[1.5, 0.0]]),
            most_tasks=9,
            trust_trials=4.0,
        ),
    )


def bytes_under(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_loaded_router_chooses_and_predicts_to_the_bit_as_the_saved_one(tmp_path: Path) -> None:
    router = some_router()
    loaded = load_checkpoint(tmp_path, save_checkpoint(router, tmp_path))
    assert loaded.version == router.version
    assert loaded.row_counts == (7, 9)
    for text in TEXTS:
        assert loaded.choose(text) == router.choose(text)
        assert loaded.predict_rewards(text).tobytes() == router.predict_rewards(text).tobytes()


def test_the_single_arm_policy_is_saved_in_the_same_form(tmp_path: Path) -> None:
    policy = single_arm_router("large", {"large": 0.02, "small": 0.001}, {"large": 0.7})
    loaded = load_checkpoint(tmp_path, save_checkpoint(policy, tmp_path))
    assert loaded.choose("anything") == policy.choose("anything")


def test_saving_the_same_router_twice_gives_one_version_and_the_same_bytes(tmp_path: Path) -> None:
    first, second = save_checkpoint(some_router(), tmp_path / "a"), save_checkpoint(some_router(), tmp_path / "b")
    assert first == second
    assert bytes_under(tmp_path / "a") == bytes_under(tmp_path / "b")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}
    assert save_checkpoint(some_router(), tmp_path / "a") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")} == before


def test_saving_leaves_nothing_but_the_version_behind(tmp_path: Path) -> None:
    version = save_checkpoint(some_router(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [version]


def test_another_router_gets_another_version(tmp_path: Path) -> None:
    assert save_checkpoint(some_router(0), tmp_path) != save_checkpoint(some_router(1), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_every_altered_byte_of_every_file_is_noticed(tmp_path: Path) -> None:
    version = save_checkpoint(some_router(), tmp_path)
    for path in sorted((tmp_path / version).iterdir()):
        sound = path.read_bytes()
        for place in range(0, len(sound), 29):
            path.write_bytes(sound[:place] + bytes([sound[place] ^ 4]) + sound[place + 1 :])
            with pytest.raises(BadCheckpoint):
                load_checkpoint(tmp_path, version)
        path.write_bytes(sound)
    assert load_checkpoint(tmp_path, version).version == version


def test_a_missing_file_is_noticed(tmp_path: Path) -> None:
    version = save_checkpoint(some_router(), tmp_path)
    names = [path.name for path in (tmp_path / version).iterdir()]
    assert len(names) == 27
    for name in names:
        content = (tmp_path / version / name).read_bytes()
        (tmp_path / version / name).unlink()
        with pytest.raises(BadCheckpoint):
            load_checkpoint(tmp_path, version)
        (tmp_path / version / name).write_bytes(content)


def test_a_folder_under_another_name_is_refused(tmp_path: Path) -> None:
    version = save_checkpoint(some_router(), tmp_path)
    (tmp_path / version).rename(tmp_path / "0123456789abcdef")
    with pytest.raises(BadCheckpoint, match=f"its content is that of {version}"):
        load_checkpoint(tmp_path, "0123456789abcdef")


def test_a_forged_array_with_a_forged_hash_is_refused(tmp_path: Path) -> None:
    version = save_checkpoint(some_router(), tmp_path)
    facts_path, array_path = tmp_path / version / "router.json", tmp_path / version / "intercepts.npy"
    np.save(array_path, np.array([0.0, 1.0]))
    facts = json.loads(facts_path.read_bytes())
    facts["sha256"]["intercepts"] = hashlib.sha256(array_path.read_bytes()).hexdigest()
    facts_path.write_text(json.dumps(facts))
    with pytest.raises(BadCheckpoint, match="its content is that of"):
        load_checkpoint(tmp_path, version)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    version = save_checkpoint(some_router(), tmp_path)
    facts_path, array_path = tmp_path / version / "router.json", tmp_path / version / "intercepts.npy"
    np.save(array_path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    facts = json.loads(facts_path.read_bytes())
    facts["sha256"]["intercepts"] = hashlib.sha256(array_path.read_bytes()).hexdigest()
    facts_path.write_text(json.dumps(facts))
    with pytest.raises(BadCheckpoint, match="allow_pickle=False"):
        load_checkpoint(tmp_path, version)


def test_an_older_format_asks_for_another_fit(tmp_path: Path) -> None:
    version = save_checkpoint(some_router(), tmp_path)
    (tmp_path / version / "router.json").write_text(json.dumps({"format": FORMAT - 1, "whatever": "was"}))
    with pytest.raises(BadCheckpoint, match=f"its format {FORMAT - 1} is older") as caught:
        load_checkpoint(tmp_path, version)
    assert "backfill" in caught.value.fix


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    version = save_checkpoint(some_router(), tmp_path)
    path = tmp_path / version / "router.json"
    path.write_text(json.dumps({"format": FORMAT + 1, "whatever": "comes"}))
    with pytest.raises(BadCheckpoint, match=f"its format {FORMAT + 1} is newer") as caught:
        load_checkpoint(tmp_path, version)
    assert caught.value.fix == "upgrade memloop"


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"format": "1"}', '{"format": 1, "sha256": [], "router": 3}'])
def test_facts_that_are_not_facts_are_refused(tmp_path: Path, text: str) -> None:
    version = save_checkpoint(some_router(), tmp_path)
    (tmp_path / version / "router.json").write_text(text)
    with pytest.raises(BadCheckpoint):
        load_checkpoint(tmp_path, version)


@pytest.mark.parametrize("version", ["0123456789abcdef", "", ".", "..", "../elsewhere", "a/b"])
def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path, version: str) -> None:
    save_checkpoint(some_router(), tmp_path)
    with pytest.raises(BadCheckpoint, match="there is none"):
        load_checkpoint(tmp_path, version)


def test_a_version_is_a_name_and_never_a_path(tmp_path: Path) -> None:
    version = save_checkpoint(some_router(), tmp_path / "inside")
    with pytest.raises(BadCheckpoint, match="there is none"):
        load_checkpoint(tmp_path / "inside", f"../inside/{version}")


def test_saving_mends_a_damaged_folder(tmp_path: Path) -> None:
    version = save_checkpoint(some_router(), tmp_path)
    sound = bytes_under(tmp_path)
    (tmp_path / version / "idf.npy").write_bytes(b"torn")
    assert save_checkpoint(some_router(), tmp_path) == version
    assert bytes_under(tmp_path) == sound


def test_saving_puts_aside_a_file_that_holds_the_name(tmp_path: Path) -> None:
    router = some_router()
    (tmp_path / router.version).write_text("not a folder")
    assert load_checkpoint(tmp_path, save_checkpoint(router, tmp_path)).version == router.version


def test_a_router_with_other_hand_features_is_refused(tmp_path: Path) -> None:
    version = save_checkpoint(replace(some_router(), row_counts=(1, 1)), tmp_path)
    path = tmp_path / version / "router.json"
    facts = json.loads(path.read_bytes())
    facts["router"]["hand_names"] = ["length"]
    path.write_text(json.dumps(facts))
    with pytest.raises(BadCheckpoint, match="hand features are not those of this memloop"):
        load_checkpoint(tmp_path, version)


def test_the_digest_pins_the_facts_and_through_them_every_array(tmp_path: Path) -> None:
    version = save_checkpoint(some_router(), tmp_path)
    facts = (tmp_path / version / "router.json").read_bytes()
    assert checkpoint_digest(tmp_path, version) == hashlib.sha256(facts).hexdigest()
    assert sorted(json.loads(facts)["sha256"]) == sorted(some_router().arrays())
    with pytest.raises(BadCheckpoint):
        checkpoint_digest(tmp_path, "0123456789abcdef")
