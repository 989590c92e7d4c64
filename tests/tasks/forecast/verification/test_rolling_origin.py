import time

import numpy as np
import pytest

from flows.notebook import history_series
from tasks.forecast import LEVELS, forecast_batch
from tasks.forecast.forecasters import get
from tasks.forecast.verification.rolling_origin import evaluate, summarise
from tasks.forecast.verification.scores import interval_coverage, mase, scaled_quantile_loss, seasonal_scale
from tests.tasks.forecast.fleets import DAY, daily_fleet

SEASONS = (DAY, 7 * DAY)
END_S, STEP_S = 1_750_000_000.0, 3_600.0


@pytest.mark.filterwarnings("ignore:isinstance\\(obj, DateOffset\\)")  # darts slicing under pandas 3
def test_scores_equal_those_of_darts_metrics() -> None:
    from darts import metrics

    fleet = daily_fleet(4, 12)
    past, truth = fleet[:, :-DAY], fleet[:, -DAY:]
    forecast = forecast_batch(past, season_lengths=SEASONS, horizon=DAY)
    insample = history_series(past, end_s=END_S, step_s=STEP_S)
    actual = history_series(truth, end_s=END_S + DAY * STEP_S, step_s=STEP_S)
    point = history_series(forecast.point, end_s=END_S + DAY * STEP_S, step_s=STEP_S)
    scale = seasonal_scale(past, DAY)
    np.testing.assert_allclose(
        mase(truth, forecast.point, scale), metrics.mase(actual, point, insample=insample, m=DAY), rtol=1e-9
    )
    columns = [0, 9, 18]
    chosen = tuple(LEVELS[i] for i in columns)
    as_darts = [
        series.with_values(quantiles)
        for series, quantiles in zip(actual_like(actual, chosen), forecast.quantiles[:, :, columns], strict=True)
    ]
    ours = scaled_quantile_loss(truth, forecast.quantiles[:, :, columns], chosen, np.ones(4))
    theirs = [metrics.mql(a, p, q=list(chosen)) for a, p in zip(actual, as_darts, strict=True)]
    np.testing.assert_allclose(ours, np.mean(theirs, axis=-1) if np.ndim(theirs) > 1 else theirs, rtol=1e-9)
    covered = interval_coverage(truth, forecast.quantiles[:, :, 0], forecast.quantiles[:, :, -1])
    theirs = [metrics.mic(a, p, q_interval=(0.05, 0.95)) for a, p in zip(actual, as_darts, strict=True)]
    np.testing.assert_allclose(covered, theirs)


def actual_like(actual, levels):
    from darts import TimeSeries
    from darts.utils.likelihood_models.base import likelihood_component_names, quantile_names

    return [
        TimeSeries.from_times_and_values(
            one.time_index,
            np.zeros((len(one), len(levels))),
            columns=likelihood_component_names(one.components, quantile_names(list(levels))),
        )
        for one in actual
    ]


def test_evaluation_shows_progress_and_ranks_the_fleet_above_the_naive_rule() -> None:
    fleet = daily_fleet(20, 21)
    fleet[0, :100] = np.nan
    turns = list(
        evaluate(
            fleet,
            {"fleet": get("fleet"), "seasonal_naive": get("seasonal_naive")},
            season_lengths=SEASONS,
            horizon=DAY,
            origins=(12 * DAY, 16 * DAY, 20 * DAY, 99 * DAY),
            timer=time.perf_counter,
        )
    )
    assert [(turn.done, turn.total) for turn in turns] == [(i, 6) for i in range(1, 7)]
    fleet_row, naive_row = summarise(turns)
    assert (fleet_row.forecaster, naive_row.forecaster) == ("fleet", "seasonal_naive")
    assert fleet_row.mase < naive_row.mase
    assert fleet_row.scaled_crps < naive_row.scaled_crps
    assert 0.8 < fleet_row.coverage < 0.97
    assert 0 <= fleet_row.brier <= 1
    assert fleet_row.ms_per_series > 0
    assert fleet_row.forecasts == 60


def test_an_evaluation_never_shows_a_forecaster_the_future() -> None:
    seen = []

    def spy(values, **how):
        seen.append(values.shape[1])
        return forecast_batch(values, **how)

    fleet = daily_fleet(2, 10)
    list(evaluate(fleet, {"spy": spy}, season_lengths=SEASONS, horizon=12, origins=(150, 200), timer=lambda: 0.0))
    assert seen == [150, 200]


def test_no_origin_to_judge_is_refused() -> None:
    with pytest.raises(ValueError, match="no origin leaves 24 steps"):
        next(evaluate(daily_fleet(1, 2), {}, season_lengths=SEASONS, horizon=24, origins=(40,), timer=lambda: 0.0))
