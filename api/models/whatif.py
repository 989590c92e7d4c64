"""What an action at a moment is believed to change, as it is told."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from storage.records import Moment


class FanShown(BaseModel):
    """A metric without the act and with it: quantiles for every step."""

    series: str
    timestamps: list[Moment] = Field(description="When each step ends")
    levels: list[float]
    without: list[list[float]] = Field(description="Quantiles by step, then by level, as foretold")
    with_act: list[list[float]] = Field(description="The same with the act")
    change: float | None = Field(description="What it is believed to change, in the metric's unit; null for an amount")
    doubt: float | None = Field(description="Standard deviation of that belief")


class BreachShown(BaseModel):
    """How likely an objective breaks within its horizon: the share of the forecast's futures that do."""

    objective: str
    series: str
    without: float
    with_act: float


class GainShown(BaseModel):
    """What the planner takes the act for to be worth to an open goal, its cost charged."""

    goal_id: str
    gain: float
    needed: float = Field(description="What it must be worth to be preferred to doing nothing")


class PastWhatIfs(BaseModel):
    """How what was foretold with past acts compares with what came."""

    observations: int = Field(description="Observed steps after the newest acts")
    coverage_90: float | None = Field(description="Share of them inside the 90 % band; null before the first")


class WhatIfAnswer(BaseModel):
    """The twin's answer: metrics with and without the act, and what that is worth."""

    action: str
    target: str
    params: dict[str, Any]
    at: Moment = Field(description="When it would be done")
    sentence: str = Field(description="The answer in words, or why there is none")
    metrics: list[FanShown]
    breaches: list[BreachShown]
    gains: list[GainShown]
    notes: list[str] = Field(description="Metrics that it is believed to change and that are not forecast, and why")
    past: PastWhatIfs
