"""Boundaries of repeated looks: as published, and as often wrong as one look."""

from statistics import NormalDist

import numpy as np
import pytest

from memloop_assets.benchmarks.sequential import confidence_of_look
from memloop_assets.errors import BadInput


def z_of_last_look(looks: int, confidence: float) -> float:
    return NormalDist().inv_cdf(confidence_of_look(looks, looks, confidence))


@pytest.mark.parametrize(
    ("looks", "published"), [(2, 1.977), (3, 2.004), (4, 2.024), (5, 2.040), (8, 2.072), (10, 2.087)]
)
def test_the_last_boundary_is_the_published_one(looks: int, published: float) -> None:
    # Jennison and Turnbull (2000), table 2.3: C_B(K, 0.05), two-sided, which is one-sided 0.025.
    assert z_of_last_look(looks, 0.975) == pytest.approx(published, abs=1e-3)


def test_one_planned_look_is_the_plain_bound_and_early_looks_must_be_surer() -> None:
    assert confidence_of_look(1, 1, 0.95) == 0.95
    sure = [confidence_of_look(look, 8, 0.95) for look in range(1, 9)]
    assert sure == sorted(sure, reverse=True)
    assert sure[0] > 0.9999
    assert 0.95 < sure[-1] < 0.97


def test_all_looks_together_err_as_often_as_one() -> None:
    rng = np.random.default_rng(0)
    looks, draws = 8, 40_000
    sums = rng.standard_normal((draws, looks)).cumsum(axis=1)
    z = sums / np.sqrt(np.arange(1, looks + 1))
    bounds = [NormalDist().inv_cdf(confidence_of_look(look, looks, 0.95)) for look in range(1, looks + 1)]
    assert np.mean((z > bounds).any(axis=1)) == pytest.approx(0.05, abs=0.004)
    assert np.mean((z > NormalDist().inv_cdf(0.95)).any(axis=1)) > 0.13  # the plain bound at each look


@pytest.mark.parametrize(("look", "planned", "confidence"), [(0, 3, 0.95), (4, 3, 0.95), (1, 105, 0.95), (1, 3, 0.5)])
def test_looks_that_cannot_be_are_refused(look: int, planned: int, confidence: float) -> None:
    with pytest.raises(BadInput, match="repeated looks"):
        confidence_of_look(look, planned, confidence)
