"""One number about the future, as autoscalers ask for it."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class ValueAhead(BaseModel):
    """A quantile of what is foretold of one series; `value` is all that KEDA's metrics-api scaler reads."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "value": 182.5,
                    "series": "requests_per_second",
                    "quantile": 0.9,
                    "at": "2026-03-02T12:08:00Z",
                    "issued_at": "2026-03-02T12:00:00Z",
                }
            ]
        }
    )

    value: float = Field(description="The highest value of the quantile within the time asked for")
    series: str
    quantile: float
    at: datetime = Field(description="When it is that high")
    issued_at: datetime = Field(description="When this was foretold")
