"""What another policy would have achieved, estimated from decisions that were logged with their
probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from storage.errors import ForeactError
from storage.records import NOTHING, Decision, FloatArray
from tasks.learn.beliefs import Learner, Observation, replay
from tasks.learn.features import Situation
from tasks.learn.reports.value_estimators import effective_number, self_normalised
from tasks.special import stdtrit

FEWEST_EFFECTIVE = 20.0
FOLDS = 5
LEAST_FREEDOM = 2.0
NORMAL_95 = 1.6449


@dataclass(frozen=True)
class LoggedDecision:
    """A decision as it was taken: the outcome measured, and the probability of every arm there was."""

    observation: Observation
    propensities: Mapping[str, float]


def propensities_of(decision: Decision) -> dict[str, float]:
    """Return with what probability each action was drawn; of an action's variants only one was in the draw."""
    propensity_by_action: dict[str, float] = {}
    for each in (decision.chosen, *decision.alternatives):
        propensity_by_action[each.action] = max(propensity_by_action.get(each.action, 0.0), each.propensity)
    return propensity_by_action


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
    logged = CrossFitted(decisions)
    values = {}
    for name, policy in policies.items():
        terms = [_terms(decision, logged.model(place), policy) for place, decision in enumerate(decisions)]
        direct, taken, weight = np.array(terms).T
        values[name] = _combined(direct, taken, weight, decisions)
    return values


@dataclass(frozen=True)
class PolicyChange:
    """How much more a policy would have achieved than another in logged situations, in sd of the metric a decision.

    `low` and `high` are a 90 % interval. `differing` of the `decisions` are those in which the two would not do the
    same, `informative` how many of them the estimate is worth; `unseen_ratio` is the share of what they would do
    differently that was never drawn there, of which the model alone speaks.
    """

    difference: float
    low: float
    high: float
    decisions: int
    differing: int
    informative: float
    unseen_ratio: float


Shares = Mapping[str, float]
"""The probability of each arm."""


@dataclass(frozen=True)
class CrossFitted:
    """Logged decisions, and for each a model that was fitted without its own fold.

    Raises ForeactError as `evaluate_policies` does.
    """

    decisions: Sequence[LoggedDecision]

    def __post_init__(self) -> None:
        _refuse_unusable(self.decisions)

    def model(self, place: int) -> Learner:
        """Return the model for the decision at a place."""
        return self._models[place % FOLDS]

    @cached_property
    def _models(self) -> list[Learner]:
        return [_fitted_without(self.decisions, fold) for fold in range(FOLDS)]


def evaluate_change(logged: CrossFitted, before: Sequence[Shares], after: Sequence[Shares]) -> PolicyChange:
    """Estimate what changing a policy would have done in the situations of logged decisions.

    `before` and `after` are the probabilities of the arms (n_decisions,) by the two policies. Doubly robust as in
    `evaluate_policies`, on the decisions in which the two differ; elsewhere the difference is 0. The interval is that
    of a jackknife, with Student's t for as many degrees of freedom as the largest terms leave (Kish's effective number
    of their squares), widened by the model's doubt as far as few decisions or none speak of the change.
    """
    decisions = logged.decisions
    differing = [place for place in range(len(decisions)) if _differ(before[place], after[place])]
    if not differing:
        return PolicyChange(0.0, 0.0, 0.0, len(decisions), 0, 0.0, 0.0)
    sides = np.array(
        [_sides(decisions[place], logged.model(place), before[place], after[place]) for place in differing]
    )
    return _changed(sides, [decisions[place] for place in differing], len(decisions))


def _differ(one: Shares, other: Shares) -> bool:
    return any(abs(one.get(arm, 0.0) - other.get(arm, 0.0)) > 1e-9 for arm in {*one, *other})


def _sides(decision: LoggedDecision, model: Learner, before: Shares, after: Shares) -> tuple[float, ...]:
    """Return of one decision: the modelled value before and after, that of what was done, both weights, doubts.

    The doubts: the model's about the whole change, and about what was never drawn; last, the share of that.
    """
    seen, done = decision.observation, decision.observation.action
    arms = sorted({*decision.propensities, *before, *after})
    modelled, doubts = model.effects(seen.situation, arms)
    old, new = (np.array([shares.get(arm, 0.0) for arm in arms]) for shares in (before, after))
    is_unseen = np.array([not decision.propensities.get(arm, 0.0) > 0 for arm in arms])
    moved, propensity = np.abs(new - old), decision.propensities[done]
    return (
        float(old @ modelled),
        float(new @ modelled),
        float(modelled[arms.index(done)]),
        before.get(done, 0.0) / propensity,
        after.get(done, 0.0) / propensity,
        float(moved @ doubts),
        float((moved * is_unseen) @ doubts),
        float(moved[is_unseen].sum() / moved.sum()),
    )


def _changed(sides: FloatArray, differing: Sequence[LoggedDecision], decisions: int) -> PolicyChange:
    old, new, taken, old_weight, new_weight, doubt, unseen_doubt, unseen = sides.T
    achieved = np.array([decision.observation.effect_sd_units for decision in differing])
    (gain_new, moved_new), (gain_old, moved_old) = (
        self_normalised(weight, achieved - taken) for weight in (new_weight, old_weight)
    )
    direct = new - old
    moved = (direct - direct.mean()) / len(differing) + moved_new - moved_old
    error = float(np.sqrt(np.square(moved).sum()))
    informative = min(effective_number(new_weight), effective_number(old_weight))
    freedom = max(LEAST_FREEDOM, effective_number(np.square(moved)) - 1)
    # The model's doubt about one arm is the same in all decisions: it does not average out.
    doubts = float(unseen_doubt.mean()), float(doubt.mean()) / max(1.0, informative) ** 0.5
    half = float(np.hypot(stdtrit(freedom, 0.95) * error, NORMAL_95 * np.hypot(*doubts)))
    share, value = len(differing) / decisions, float(direct.mean()) + gain_new - gain_old
    low, high = share * (value - half), share * (value + half)
    return PolicyChange(share * value, low, high, decisions, len(differing), informative, float(unseen.mean()))


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


def _refuse_unusable(decisions: Sequence[LoggedDecision]) -> None:
    if not decisions:
        raise ForeactError("off_policy_empty", "No decision was logged yet.", "Let the loop decide first.")
    for decision in decisions:
        if not decision.propensities.get(decision.observation.action, 0.0) > 0:
            raise ForeactError(
                "off_policy_propensity",
                f"Outcome {decision.observation.outcome_id} has no probability above 0 for what was done.",
                "Leave out decisions whose probabilities were not recorded.",
            )


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
    effective = effective_number(weight)
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
