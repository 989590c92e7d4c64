"""What several foreacts share: what one offers, the lease it gets, and who holds how much until when."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.models.agent import Reason
from api.models.goals import SpeaksFor
from storage.records import Moment

Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
ValueStep = tuple[Annotated[float, Field(gt=0, le=1e12)], Annotated[float, Field(ge=-1e12, le=1e12)]]
HolderName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


class OfferIn(BaseModel):
    """What one foreact offers for its share: what it holds, and what each further unit would be worth to it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "holder": "shop",
                    "instance": "0f3a9c1e5b7d2468",
                    "acknowledged": 41,
                    "holds": 6,
                    "in_use": 6,
                    "safe": 4,
                    "steps": [[4, 0.9], [2, 0.3], [2, 0.1]],
                    "turn_s": 300,
                }
            ]
        },
    )

    holder: HolderName = Field(description="The `agent.name` of who asks")
    instance: str = Field(min_length=1, max_length=100, description="Tells it from another one of its name")
    acknowledged: int = Field(default=0, ge=0, description="The newest lease it knows; 0 before the first")
    holds: Amount = Field(default=0, description="The amount of that lease")
    in_use: Amount = Field(default=0, description="The most that it may hold now, whatever is under way")
    safe: Amount = Field(default=0, description="What it wants for good")
    steps: tuple[tuple[Annotated[float, Field(gt=0, le=1e12)], Annotated[float, Field(ge=-1e12, le=1e12)]], ...] = (
        Field(
            default=(),
            max_length=500,
            description="(amount, value) in turn: so much more is worth so much more an hour",
        )
    )
    turn_s: float = Field(default=60, gt=0, le=86_400, description="How often it asks, in seconds")


class LeaseGranted(BaseModel):
    """A lease: so much may be held for so long, counted from before it was asked for, and `safe` for good."""

    token: int = Field(description="The fencing token: greater than that of every lease before")
    amount: float
    safe: float
    lasts_s: float
    wanted: float = Field(description="What it would get were all shares given anew; more of it comes as it gets free")
    price: float = Field(description="What one more unit would be worth an hour, to whoever gets none")


class ReleaseIn(BaseModel):
    """A person's word that a holder is gone and holds nothing any more."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"holder": "shop", "note": "that machine was taken down"}]}
    )

    holder: HolderName
    note: Reason
    by: SpeaksFor = "api"


class Holder(BaseModel):
    """One holder of a budget, as the ledger knows it."""

    holder: str
    amount: float = Field(description="What its lease grants")
    reserved: float = Field(description="What it may be up to, which is kept for it")
    in_use: float = Field(description="What it last said it holds at the most")
    safe: float
    wanted: float
    token: int
    until: Moment
    state: Literal["holds", "gives back", "silent", "given on"]
    sentence: str


class GrantedBudget(BaseModel):
    """A budget that this foreact grants."""

    name: str
    unit: str
    total: float
    price: float
    free: float = Field(description="What nobody may be up to; below 0 where more is held than there is")
    holders: list[Holder]
    sentence: str


class OwnShare(BaseModel):
    """What this foreact may hold of a budget."""

    name: str
    unit: str
    coordinator: str
    most: float
    in_use: float
    token: int
    until: Moment | None = Field(description="When the lease ends; null where none holds")
    wanted: float
    price: float
    trouble: str = Field(description="Why it was not granted anew; empty where it was")
    sentence: str


class SharedBudgets(BaseModel):
    """All that is shared with other foreacts: what this one grants, and what it holds."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "granted": [],
                    "shares": [
                        {
                            "name": "workers",
                            "unit": "workers",
                            "coordinator": "http://10.0.0.5:5003",
                            "most": 6,
                            "in_use": 6,
                            "token": 41,
                            "until": "2026-03-02T12:30:00Z",
                            "wanted": 8,
                            "price": 0.05,
                            "trouble": "",
                            "sentence": "The share of workers is 6 workers until 12:30 UTC (lease 41).",
                        }
                    ],
                    "note": None,
                }
            ]
        }
    )

    granted: list[GrantedBudget]
    shares: list[OwnShare]
    note: str | None
