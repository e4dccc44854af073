import random
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memloop_assets.trajectories import redaction
from memloop_assets.trajectories.formats.reader import Event
from memloop_assets.trajectories.redaction import redact_attempts
from memloop_assets.trajectories.secret_gates import GATES, gates_of_all, open_gates
from memloop_assets.trajectories.secret_rules import RULES, Gate
from memloop_tests.trajectories import foreign_places
from memloop_tests.trajectories.planted import KINDS, POSITIONS, plant
from memloop_tests.trajectories.samples import after, event
from memloop_tests.trajectories.test_redaction import TAU_BENCH, strings_of

PIECES = (
    *("sk-", "sk-ant-", "AKIA", "ghp_", "xoxb-", "rk_live_", "SG.", "eyJ", "-----BEGIN A KEY-----", "AIza"),
    *(
        "gsk_",
        "dapi",
        "hvs.",
        "pat",
        "Q~",
        ":AA",
        "MTE",
        "token ",
        "DB_PASS=",
        "passwort: ",
        "密码:",
        "curl -u a:",
        "mysql -p",
    ),
    *("bearer ", "Basic dXNlcjpwYXNz", "password: ", "to\N{KELVIN SIGN}en=", "secret key is ", '"phone": "555 12 34"'),
    *(
        "@",
        "://a:",
        "ann@example.org",
        "DE",
        "MT84MALT",
        "+1 ",
        "(0)",
        "\u00a0",
        "\\u0040",
        "\\n",
        '"',
        "/",
        ".",
        "-",
        " ",
    ),
    *("0", "41", "4111", "aB3_", "xY9zQ8", "a" * 12, "9" * 7),
)
TEXT = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def look(text: str) -> set[Gate]:
    return gates_of_all([text.encode()]).get(0, set())


@given(TEXT)
@example("IBAN MT84MALT011AB1C2D3E4F5G6H7I8J9K")
def test_the_look_at_one_text_and_the_look_at_many_open_the_same_gates(text: str) -> None:
    assert open_gates(text.encode()) == look(text)


@given(TEXT)
def test_no_rule_finds_anything_behind_a_gate_that_stays_shut(text: str) -> None:
    finding = {rule.gate for rule in RULES if any(True for _ in rule.find(text))}
    assert finding <= look(text)
    assert finding <= look(orjson.dumps({"said": text}).decode())


def test_no_planted_secret_lies_behind_a_gate_that_stays_shut() -> None:
    draw = random.Random(20260601)  # noqa: S311  # seeded, no secret is made of it
    lines = [POSITIONS[n % len(POSITIONS)](*plant(draw, kind)[1:]) for kind in KINDS for n in range(50)]
    lines += [foreign.record for foreign in foreign_places.plants(seed=20260603, per_cell=3)]
    texts = [text for line in lines for text in strings_of(line)]
    gates = gates_of_all([text.encode() for text in texts])
    for place, text in enumerate(texts):
        assert {rule.gate for rule in RULES if any(True for _ in rule.find(text))} <= gates.get(place, set())


def all_gates(texts: Sequence[bytes], among: Iterable[Gate] = GATES) -> Any:
    return {place: set(GATES) for place in range(len(texts))} if isinstance(texts, list) else set(among)


def as_one_would_without_looking(attempts: list[list[Event]], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    with monkeypatch.context() as patched:
        patched.setattr(redaction, "gates_of_all", all_gates)
        patched.setattr(redaction, "open_gates", all_gates)
        return list(redact_attempts(attempts, RULES))


def test_what_is_redacted_is_what_the_rules_alone_would_redact(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(20260602)  # noqa: S311  # seeded, no secret is made of it
    attempts = []
    for number in range(200):
        planted = [plant(draw, draw.choice(KINDS)) for _ in range(draw.randrange(3))]
        told = [POSITIONS[draw.randrange(len(POSITIONS))](text, name) for _, text, name in planted]
        events = [event("message", after(place), content=line) for place, line in enumerate(told)]
        events.append(event("message", after(5), role="user", content="Where is my parcel?"))
        events.append(event("outcome", after(6), reward=0.5, cost_usd=0.01573061, latency_ms=1576.25))
        events[-1].extra = {"mobile_number": "555 12 34", "card": 4111111111111111} if number % 5 == 0 else {}
        attempts.append(events)
    looked = list(redact_attempts(attempts, RULES))
    assert looked == as_one_would_without_looking(attempts, monkeypatch)
    assert sum(found.total() for _, found in looked) > 150
    assert any(events is attempt for (events, _), attempt in zip(looked, attempts, strict=True))


@pytest.mark.skipif(not TAU_BENCH.exists(), reason="tau-bench's published runs are not on this machine")
def test_real_conversations_are_redacted_as_the_rules_alone_would(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = orjson.loads(TAU_BENCH.read_bytes())[:40]
    attempts = [
        [event("message", after(n), role=m["role"], content=[m]) for n, m in enumerate(run["traj"])] for run in runs
    ]
    looked = list(redact_attempts(attempts, RULES))
    assert looked == as_one_would_without_looking(attempts, monkeypatch)
    assert sum(found.total() for _, found in looked) > 10
