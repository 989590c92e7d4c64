from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.forecast.fleet.offsets import add_offsets
from tasks.forecast.risk.recalibration import Recalibration, fit_recalibration
from tasks.forecast.risk.state import joint_paths
from tasks.forecast.verification.error_ledger import Ledger, calibration_offsets, error_blocks
from tasks.reliability import auc, reliability

HORIZON = 24
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def narrow_ledger(origins: int, seed: int = 0) -> Ledger:
    """A ledger of forecasts whose intervals are half as wide as the errors they met."""
    rng = np.random.default_rng(seed)
    quantiles = np.array([-1.645, -0.674, 0, 0.674, 1.645]) / 2
    return Ledger(
        errors=rng.normal(0, 3.0, (origins, 20, HORIZON)),
        spreads=np.broadcast_to(3.0 * quantiles, (origins, 20, HORIZON, 5)).copy(),
        scale=np.full((origins, 20), 3.0),
        overlapped=np.zeros((origins, 20), dtype=bool),
        issued_at_s=np.arange(origins) * HORIZON * 300.0,
        levels=LEVELS,
    )


def test_windows_an_action_overlapped_do_not_count() -> None:
    ledger = narrow_ledger(10)
    ledger.errors[:, 0] += 1e6
    ledger.overlapped[:, 0] = True
    assert np.abs(calibration_offsets(ledger, 300.0)).max() < 5
    assert len(error_blocks(ledger)) == 0


def test_offsets_from_the_ledger_repair_intervals_that_were_too_narrow() -> None:
    ledger = narrow_ledger(200)
    assert ((ledger.errors >= ledger.spreads[..., 0]) & (ledger.errors <= ledger.spreads[..., -1])).mean() < 0.65
    offsets = calibration_offsets(ledger, 300.0)
    rng = np.random.default_rng(9)
    quantiles = np.broadcast_to(ledger.spreads[0, :, :, :] / 3.0, (20, HORIZON, 5)).astype(np.float32)
    repaired = add_offsets(quantiles, offsets, HORIZON)
    truth = rng.normal(0, 1.0, (2000, 1, 1))
    inside = (truth >= repaired[None, 0, :, 0]) & (truth <= repaired[None, 0, :, -1])
    assert 0.87 < inside.mean() < 0.93


def test_a_wild_series_hardly_moves_the_offsets_of_the_others() -> None:
    calm, wild = narrow_ledger(60), narrow_ledger(60)
    wild.errors[:, :6] += 300.0  # six of twenty: pooled misses would put the upper quantile among theirs
    offsets = calibration_offsets(wild, 300.0)
    np.testing.assert_allclose(offsets, calibration_offsets(calm, 300.0), atol=0.15)
    assert (offsets[:, -1] > 0.5).all()


def test_a_series_that_was_seldom_observed_counts_like_the_others() -> None:
    ledger = narrow_ledger(60)
    ledger.errors[:, :10] += 2.0
    sparse = replace(ledger, errors=ledger.errors.copy())
    sparse.errors[12:, :10] = np.nan
    np.testing.assert_allclose(calibration_offsets(sparse, 300.0), calibration_offsets(ledger, 300.0), atol=0.2)
    assert (np.abs(calibration_offsets(sparse, 300.0)[:, 2] - 1 / 3) < 0.1).all()


def test_offsets_grow_with_the_independent_horizons_behind_them() -> None:
    many = calibration_offsets(narrow_ledger(100), 300.0)
    crowded = narrow_ledger(100)
    crowded.issued_at_s[:] = np.arange(100) * 300.0  # a forecast every step: hardly five horizons
    assert np.abs(calibration_offsets(crowded, 300.0)).max() < 0.7 * np.abs(many).max()
    assert (calibration_offsets(narrow_ledger(0), 300.0) == 0).all()


def foretold(rng: np.random.Generator, n: int, slope: float, intercept: float) -> tuple[NDArray[np.float64], ...]:
    p = rng.uniform(0.02, 0.98, n)
    truth = 1 / (1 + np.exp(-(intercept + slope * np.log(p / (1 - p)))))
    return p, (rng.random(n) < truth).astype(float)


def test_overconfident_probabilities_are_drawn_in() -> None:
    p, happened = foretold(np.random.default_rng(0), 3000, 0.4, -0.5)
    fitted = fit_recalibration(p, happened)
    assert fitted.slope == pytest.approx(0.4, abs=0.08)
    assert fitted.intercept == pytest.approx(-0.5, abs=0.12)
    q, later = foretold(np.random.default_rng(1), 3000, 0.4, -0.5)
    assert reliability(fitted.apply(q), later).brier < reliability(q, later).brier - 0.01


def test_with_under_a_hundred_forecasts_probabilities_stay() -> None:
    p, happened = foretold(np.random.default_rng(0), 99, 0.2, 1.0)
    fitted = fit_recalibration(p, happened)
    np.testing.assert_array_equal(fitted.apply(p), p)
    assert np.isnan(Recalibration(1.0, 1.0, 500).apply(np.array([np.nan]))).all()


def test_recalibration_keeps_the_order_even_where_forecasts_were_worse_than_chance() -> None:
    p, happened = foretold(np.random.default_rng(0), 500, -1.0, 0.0)
    q = fit_recalibration(p, happened).apply(np.array([0.1, 0.5, 0.9]))
    assert q[0] < q[1] < q[2]


def test_reliability_counts_what_came_true_per_bin() -> None:
    report = reliability(np.array([0.05, 0.05, 0.95, 0.95]), np.array([0, 1, 1, 1.0]))
    assert report.happened[0] == 0.5
    assert report.happened[9] == 1.0
    assert np.isnan(report.happened[5])
    assert report.base_rate == 0.75
    assert report.auc == pytest.approx(5 / 6)


def test_auc_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(3)
    score, happened = rng.integers(0, 6, 80).astype(float), rng.random(80) < 0.4
    pairs = score[happened][:, None] - score[~happened][None]
    assert auc(score, happened.astype(float)) == pytest.approx((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


def test_joint_paths_without_a_ledger_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one resolved origin"):
        joint_paths(np.zeros((2, 3)), np.zeros((0, 2, 3)), seed=0)
