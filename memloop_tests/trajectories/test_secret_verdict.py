import pyarrow as pa
import pytest

from memloop_assets.trajectories.redaction import RedactionSettings, Redactor
from memloop_assets.trajectories.secret_rules import RULES
from memloop_assets.trajectories.secret_verdict import no_secrets

KEY = "ghp_" + "a1B2c3D4e5F6" * 3
TEXTS = [
    f"use {KEY} please",
    "postgres://app:Orbit333@db.internal/shop",
    "Authorization: Bearer abcdefghijklmnop1234",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
    "AWS_SECRET_ACCESS_KEY=abcdefghij0123456789ABCDEFGHIJ0123456789",
]


def table(*texts: str | None) -> pa.Table:
    return pa.table({"task_text": pa.array(texts, pa.large_string()), "reward": [1.0] * len(texts)})


@pytest.mark.parametrize("text", TEXTS)
def test_a_table_that_holds_a_key_is_refused_and_the_key_is_not_quoted(text: str) -> None:
    verdict = no_secrets(RULES)(table("clean", None, text))
    assert not verdict.is_kept
    assert "1 x " in verdict.detail
    assert " in task_text" in verdict.detail
    assert not any(word in verdict.detail for word in text.split() if len(word) > 6)


@pytest.mark.parametrize("text", TEXTS)
def test_what_was_redacted_is_published(text: str) -> None:
    verdict = no_secrets(RULES)(table(Redactor().redact_text(text)))
    assert verdict.is_kept, verdict.detail


def test_a_key_that_only_two_rows_together_would_make_is_none() -> None:
    assert no_secrets(RULES)(table(KEY[:20], KEY[20:])).is_kept


def test_a_slice_of_a_table_is_judged_by_its_own_rows() -> None:
    rows = table("clean", KEY, "clean")
    assert [no_secrets(RULES)(rows.slice(place, 1)).is_kept for place in range(3)] == [True, False, True]
    assert no_secrets(RULES)(rows.slice(0, 0)).is_kept


def test_a_rule_that_is_off_refuses_nothing() -> None:
    assert no_secrets(RedactionSettings(off=("github_key",)).rules)(table(KEY)).is_kept
