"""Budgets that objectives share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from storage.records import BudgetUnit


class PartShare(BaseModel):
    """What one part gets of the budget above it."""

    name: str
    share: float = Field(description="What it gets until the horizon, in the budget's unit")
    foreseen: float = Field(description="What it would need if nothing were done for it; of a cost, the most it could")
    used: float = Field(description="What it took of the window so far; of a cost, what it costs now")
    least: float = Field(description="What is set aside for it whatever comes")
    weight: float = Field(description="How many times as much as its severity says its goals count")
    lost: str = Field(description="Why nothing can be done for it; empty where something can")


class SharedBudgetView(BaseModel):
    """How one budget was shared at the last turn."""

    budget: str = Field(description="The objective whose budget it is")
    unit: BudgetUnit
    limit: float
    used: float
    left: float
    price: float = Field(
        description="What one more unit would save; 1 is an objective of severity 1 broken all the time"
    )
    over: float = Field(description="What is foreseen beyond what is left")
    parts: list[PartShare]
    sentence: str
    trouble: str = Field(description="Why nothing of it is shared; empty where it is")
    cycle_id: str


class ObjectiveShares(BaseModel):
    """The budgets that objectives share."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "budgets": [
                        {
                            "budget": "shop",
                            "unit": "minutes",
                            "limit": 43.2,
                            "used": 12.0,
                            "left": 31.2,
                            "price": 0.004,
                            "over": 0.0,
                            "parts": [
                                {
                                    "name": "checkout",
                                    "share": 20.0,
                                    "foreseen": 20.0,
                                    "used": 9.0,
                                    "least": 0.0,
                                    "weight": 1.8,
                                    "lost": "",
                                }
                            ],
                            "sentence": "shop: 43.2 min in 30 days, 12 used, 31.2 left.",
                            "trouble": "",
                            "cycle_id": "cycle-2026-03-10T12:00:00Z",
                        }
                    ],
                    "note": None,
                }
            ]
        }
    )

    budgets: list[SharedBudgetView]
    note: str | None
