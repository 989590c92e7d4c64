"""Forecasts as they are shown."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from storage.records import Breach, Moment


class SeriesForecast(BaseModel):
    """The forecast of one series: lists of equal length, soonest first."""

    series: str
    unit: str = ""
    method: str
    step_seconds: float
    timestamps: list[Moment] = Field(description="End of each step")
    point: list[float]
    low: list[float] = Field(description="Lower end of the 90 % interval")
    high: list[float] = Field(description="Upper end of the 90 % interval")
    warnings: list[str]
    refusal: str | None = Field(description="Why this series has no forecast, if it has none")


class PredictedState(BaseModel):
    """The predicted overall state of the system."""

    state: str = Field(description="healthy, degraded, critical or unknown")
    probability: float | None
    probabilities: dict[str, float]
    at: Moment | None
    reason: str


class ReliabilityBin(BaseModel):
    """Forecasts of similar probability: the mean prediction, and how often it came true."""

    foretold: float
    happened: float
    count: int


class Calibration(BaseModel):
    """How good the newest verified forecasts were."""

    coverage_90: float | None = Field(description="Share of observations inside the 90 % interval; ideally 0.9")
    resolved_forecasts: int
    breach_brier: float | None = Field(description="Mean squared error of the breach probabilities; lower is better")
    resolved_breaches: int
    breach_auc: float | None = Field(
        default=None, description="Chance that a real breach got a higher probability than a false one; 0.5 is guessing"
    )
    breach_reliability: list[ReliabilityBin] = Field(default_factory=list, description="By tenths of probability")
    state_brier: float | None = Field(
        default=None, description="Mean squared error of the probability that the state is not healthy"
    )
    resolved_states: int = 0
    state_reliability: list[ReliabilityBin] = Field(
        default_factory=list, description="Of the probability of not being healthy, by tenths"
    )


class Predictions(BaseModel):
    """The forecasts of the newest cycle, cut to a horizon."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "horizon_hours": 24,
                    "available_hours": 24,
                    "cycle_id": "cycle-9a1b2c3d4e5f",
                    "issued_at": "2026-03-02T12:00:00Z",
                    "predicted_state": {
                        "state": "degraded",
                        "probability": 0.71,
                        "probabilities": {"healthy": 0.27, "degraded": 0.71, "critical": 0.02},
                        "at": "2026-03-02T13:00:00Z",
                        "reason": "cpu-not-saturated is likely to break",
                    },
                    "breaches": [
                        {
                            "objective": "cpu-not-saturated",
                            "series": "cpu_used_ratio",
                            "probability": 0.71,
                            "expected_at": "2026-03-02T12:40:00Z",
                        }
                    ],
                    "series": [
                        {
                            "series": "cpu_used_ratio",
                            "unit": "ratio",
                            "method": "fleet",
                            "step_seconds": 60,
                            "timestamps": ["2026-03-02T12:01:00Z"],
                            "point": [0.62],
                            "low": [0.51],
                            "high": [0.74],
                            "warnings": [],
                            "refusal": None,
                        }
                    ],
                    "calibration": {
                        "coverage_90": 0.91,
                        "resolved_forecasts": 200,
                        "breach_brier": 0.06,
                        "resolved_breaches": 40,
                        "breach_auc": 0.93,
                        "breach_reliability": [{"foretold": 0.71, "happened": 0.75, "count": 8}],
                        "state_brier": 0.08,
                        "resolved_states": 20,
                        "state_reliability": [{"foretold": 0.12, "happened": 0.1, "count": 10}],
                    },
                    "note": None,
                }
            ]
        }
    )

    horizon_hours: float
    available_hours: float = Field(description="How many hours the newest forecasts cover")
    cycle_id: str | None
    issued_at: Moment | None
    predicted_state: PredictedState
    breaches: list[Breach] = Field(description="Most likely first")
    series: list[SeriesForecast]
    calibration: Calibration
    note: str | None = Field(description="What to know or do if there is no forecast or a shorter one")
