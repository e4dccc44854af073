"""Recall on secrets that another hand planted; the large figures are those of `benchmarks/secret_recall.py`."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable

import pytest

from memloop_assets.trajectories.redaction import Redactor
from memloop_tests.trajectories.foreign_places import KINDS, Plant, plants

KEYS = {"provider_key", "jwt", "pem", "url_credentials", "auth_header"}
PLANTED = list(plants(seed=20261120, per_cell=10))


def recall(name_of: Callable[[Plant], str]) -> dict[str, float]:
    total = Counter(map(name_of, PLANTED))
    left = Counter(name_of(plant) for plant in PLANTED if plant.leaks(Redactor().redact(plant.record)))
    return {name: 1 - left[name] / count for name, count in total.items()}


def test_what_another_hand_planted_is_found_whatever_its_kind_and_wherever_it_stands() -> None:
    by_kind = recall(lambda plant: plant.secret.kind)
    by_place = recall(lambda plant: f"{'key' if plant.secret.kind in KEYS else 'other'}, {plant.place}")
    print({name: round(share, 3) for name, share in (by_kind | by_place).items() if share < 1})
    assert set(by_kind) == set(KINDS)
    assert {kind: share for kind, share in by_kind.items() if share < (0.98 if kind in KEYS else 0.95)} == {}
    assert {place: share for place, share in by_place.items() if share < (0.98 if "key," in place else 0.95)} == {}


def test_every_plant_is_in_its_record_and_the_same_seed_plants_the_same() -> None:
    assert all(plant.leaks(plant.record) for plant in PLANTED)
    assert list(plants(seed=20261120, per_cell=1)) == list(plants(seed=20261120, per_cell=1))
    assert list(plants(seed=1, per_cell=1)) != list(plants(seed=2, per_cell=1))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_secret_of_which_half_is_left_counts_as_missed(kind: str) -> None:
    plant = next(plant for plant in PLANTED if plant.secret.kind == kind)
    core = plant.secret.core[-1]
    assert plant.leaks({"left": core[: len(core) // 2 + 3]})
    assert not plant.leaks({"left": f"<SECRET_1>{core[-3:]}"})
    assert dataclasses.replace(plant, record={}).leaks(json.dumps(plant.record))


@pytest.mark.parametrize(
    "text",
    [
        "timer=default_timer, stmt='pass', setup='pass'",
        "    pass\nelse:\n    password = getpass.getpass()",
        "password = os.environ['DB_PASSWORD']; token = make_token(user4711, session)",
        "export PGPASSWORD=$DB_PASSWORD && psql",
        "curl -u $USER:$PASS https://example.com | sort -u",
        "Flights HAT136, AT1234 and NO55 leave at 10; saved_passengers: 12345678",
        "A token economy; token counts 1234567890123456; the basic key of C major",
        "toolu_01A09q90qw90lq917835lq9 msg_013Zva2CMHLNnjNjJJKqJ2EF resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b4",
        "the password was rejected, passwords rotate, pass=true, pw: none",
        "key-value stores, secret_santa_list_of_everyone, patience, dp.partial, AAAA-records",
    ],
)
def test_code_and_talk_about_secrets_hold_none(text: str) -> None:
    assert Redactor().redact({"said": text}) == {"said": text}
