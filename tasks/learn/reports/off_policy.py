"""What another policy would have achieved, estimated from decisions that were logged with their
probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from storage.errors import ForeactError
from storage.records import NOTHING, FloatArray
from tasks.learn.beliefs import Learner, Observation, replay
from tasks.learn.features import Situation
from tasks.special import stdtrit

FEWEST_EFFECTIVE = 20.0
FOLDS = 5


@dataclass(frozen=True)
class LoggedDecision:
    """A decision as it was taken: the outcome measured, and the probability of every arm there was."""

    observation: Observation
    propensities: Mapping[str, float]


Policy = Callable[[Situation, Sequence[str]], FloatArray]
"""The probabilities (n_arms,) a policy gives the arms in a context."""


@dataclass(frozen=True)
class PolicyValue:
    """The mean effect a policy would have had, in sd of the metric.

    `direct` trusts the model alone; `doubly_robust` corrects it by the outcomes, weighted and
    self-normalised, with a 90 % interval; `logged` is what was really achieved. `effective_sample_size`
    says how many of the `decisions` the correction is worth.
    """

    direct: float
    doubly_robust: float
    low: float
    high: float
    logged: float
    effective_sample_size: float
    decisions: int


def evaluate_policies(decisions: Sequence[LoggedDecision], policies: Mapping[str, Policy]) -> dict[str, PolicyValue]:
    """Estimate the mean effect each policy would have had in the situations of logged decisions, by name.

    The model that a decision is judged by was fitted without its own fold. Doubly robust as Dudik, Langford
    and Li (2011, arXiv:1103.4601), weights self-normalised as Swaminathan and Joachims (2015). Raises
    ForeactError `off_policy_empty` without decisions, `off_policy_propensity` where a logged probability is
    not above 0.
    """
    if not decisions:
        raise ForeactError("off_policy_empty", "No decision was logged yet.", "Let the loop decide first.")
    for decision in decisions:
        if not decision.propensities.get(decision.observation.action, 0.0) > 0:
            raise ForeactError(
                "off_policy_propensity",
                f"Outcome {decision.observation.outcome_id} has no probability above 0 for what was done.",
                "Leave out decisions whose probabilities were not recorded.",
            )
    models = [_fitted_without(decisions, fold) for fold in range(FOLDS)]
    values = {}
    for name, policy in policies.items():
        terms = [_terms(decision, models[place % FOLDS], policy) for place, decision in enumerate(decisions)]
        direct, taken, weight = np.array(terms).T
        values[name] = _combined(direct, taken, weight, decisions)
    return values


def always(arm: str) -> Policy:
    """Return the policy that takes one arm wherever it can be taken, and nothing elsewhere."""

    def policy(context: Situation, arms: Sequence[str]) -> FloatArray:
        choice = arm if arm in arms else NOTHING
        shares = np.array([float(each == choice) for each in arms])
        return shares if shares.any() else np.full(len(arms), 1 / len(arms))

    return policy


def best_believed(learner: Learner) -> Policy:
    """Return the policy that takes what a learner believes best."""

    def policy(context: Situation, arms: Sequence[str]) -> FloatArray:
        shares = np.zeros(len(arms))
        shares[int(learner.effects(context, arms)[0].argmax())] = 1.0
        return shares

    return policy


def _fitted_without(decisions: Sequence[LoggedDecision], fold: int) -> Learner:
    return replay(each.observation for place, each in enumerate(decisions) if place % FOLDS != fold)


def _terms(decision: LoggedDecision, model: Learner, policy: Policy) -> tuple[float, float, float]:
    """Return the policy's modelled value, the modelled value of what was done, and the weight of that."""
    seen, arms = decision.observation, list(decision.propensities)
    context = seen.situation
    modelled, _ = model.effects(context, arms)
    shares = policy(context, arms)
    place = arms.index(seen.action)
    weight = float(shares[place]) / decision.propensities[seen.action]
    return float(shares @ modelled), float(modelled[place]), weight


def _combined(
    direct: FloatArray, taken: FloatArray, weight: FloatArray, decisions: Sequence[LoggedDecision]
) -> PolicyValue:
    achieved = np.array([decision.observation.effect_sd_units for decision in decisions])
    count, total = len(decisions), float(weight.sum())
    effective = total**2 / float(np.square(weight).sum()) if total > 0 else 0.0
    correction = float(weight @ (achieved - taken)) / total if total > 0 else 0.0
    value = float(direct.mean()) + correction
    error = float("inf")
    if effective > 1:
        # Linearised: what each decision moves the mean of the model and the weighted mean of its misses by.
        moved = (direct - direct.mean()) / count + weight * (achieved - taken - correction) / total
        error = float(np.sqrt(np.square(moved).sum() * effective / (effective - 1)))
    half = stdtrit(max(1.0, effective - 1), 0.95) * error
    return PolicyValue(
        float(direct.mean()), value, value - half, value + half, float(achieved.mean()), effective, count
    )


def policy_report(decisions: Sequence[LoggedDecision], learner: Learner) -> list[dict[str, Any]]:
    """Return what other policies would have achieved, as JSON-ready values, the highest estimate first.

    The policies: the best believed now, always one of the actions tried, always nothing. `veto` says why one must not
    replace what was done, empty where nothing speaks against it. Without usable decisions the list is empty.
    """
    usable = [each for each in decisions if each.propensities.get(each.observation.action, 0.0) > 0]
    if not usable:
        return []
    tried = sorted({each.observation.action for each in usable})
    policies = {f"always {arm}": always(arm) for arm in tried} | {"best believed": best_believed(learner)}
    report = [
        {"policy": name, **{key: _plain(each) for key, each in asdict(value).items()}, "veto": vetoes(value)}
        for name, value in evaluate_policies(usable, policies).items()
    ]
    return sorted(report, key=lambda each: -float(each["doubly_robust"] or 0.0))


def _plain(number: float) -> float | None:
    return number if np.isfinite(number) else None


def vetoes(value: PolicyValue) -> str:
    """Say why a policy must not replace the one that was logged; empty where nothing speaks against it.

    An estimate from logged decisions can stop a change. It never recommends one: that takes trying.
    """
    if value.effective_sample_size < FEWEST_EFFECTIVE:
        return (
            f"only {value.effective_sample_size:.0f} of {value.decisions} decisions are informative; "
            f"{FEWEST_EFFECTIVE:.0f} are needed"
        )
    if value.high < value.logged:
        return f"it would have achieved {value.doubly_robust:.2f} sd at most {value.high:.2f}, not {value.logged:.2f}"
    return ""
