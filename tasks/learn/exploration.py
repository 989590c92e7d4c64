"""When and with what may be tried out: only what is safe, and never while something burns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from storage.records import NOTHING
from tasks.learn.beliefs import Learner
from tasks.learn.choice import Choice, choose, draw
from tasks.learn.features import Context

SEVERE = 0.8


@dataclass(frozen=True)
class ArmRisk:
    """What is declared of an action: how risky it is and whether it can be undone."""

    risk: Literal["low", "medium", "high"] = "medium"
    is_reversible: bool = False

    @property
    def may_be_explored(self) -> bool:
        """Tell whether it may be tried to see what it does."""
        return self.risk == "low" and self.is_reversible


def holdout_ratio(configured: float, severity: float, is_burning: bool) -> float:
    """Return the floor probability of doing nothing on purpose: none where an objective is severe or
    burning."""
    return 0.0 if is_burning or severity >= SEVERE else configured


def safe_choice(
    learner: Learner,
    context: Context,
    risks: Mapping[str, ArmRisk],
    seed: int,
    *,
    severity: float = 0.0,
    is_burning: bool = False,
    holdout: float = 0.05,
) -> Choice:
    """Choose among doing nothing and the actions of `risks`, exploring only where that is safe.

    Only doing nothing and what is declared low-risk and reversible is tried out; anything else is taken
    only for being believed the best. While an objective burns, the believed best arm is taken for certain.
    The propensities on record are those drawn from.
    """
    arms = [NOTHING, *sorted(risks)]
    if is_burning:
        best = int(learner.effects(context, arms)[0].argmax())
        return draw(learner, context, arms, np.eye(len(arms))[best], seed)
    return choose(
        learner,
        context,
        arms,
        seed,
        explorable=[arm for arm, risk in risks.items() if risk.may_be_explored],
        nothing_floor=holdout_ratio(holdout, severity, is_burning),
    )
