"""Do intervals of off-policy estimates hold the truth? `python -m benchmarks.reviews.bandits [--sets 1200] [--seed 1]`.

Synthetic bandit data as the package `obp` makes them (0.4.1, Open Bandit Pipeline, Saito et al., arXiv:2008.07146):
contexts of five normal dimensions, ten actions, a logistic or linear reward function and a softmax behaviour policy,
the coefficients of all drawn anew for each set. The package itself needs a deep-learning library, so the generator is
written here; the same seed gives the same numbers as its own. The new policies are softmax over the true rewards, over
a wrong ranking, and the best action nine times in ten. Each estimator gives a 90 % interval of what the policy is worth
over all contexts; the reward model is ridge regression, fitted without the fold that it judges. The bar is .87 for the
self-normalised doubly robust estimate, in each row; it ends with 1 where that is missed. With 1,200 sets a row is told
to about .01: of 200, the lowest of twelve rows falls below the bar by chance.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from storage.records import FloatArray, IntArray
from tasks.learn.reports.value_estimators import (
    LoggedTerms,
    ValueEstimate,
    direct_method,
    doubly_robust,
    self_normalised_doubly_robust,
    snips,
    switch_doubly_robust,
)

BAR = 0.87
ACTIONS, DIMENSIONS, FOLDS = 10, 5, 5
CONTEXTS_FOR_TRUTH = 20_000
RIDGE = 3.0
SIZES = (200, 1_000)
ESTIMATORS: Mapping[str, Callable[[LoggedTerms], ValueEstimate]] = {
    "DM": direct_method,
    "SNIPS": snips,
    "DR": doubly_robust,
    "Switch-DR": switch_doubly_robust,
    "SN-DR (ours)": self_normalised_doubly_robust,
}


@dataclass(frozen=True)
class BanditSet:
    """Contexts (n, dimensions), the probabilities (n, actions) they were drawn with, actions and rewards (n,)."""

    contexts: FloatArray
    behaviour: FloatArray
    actions: IntArray
    rewards: FloatArray


def reward_function(contexts: FloatArray, seed: int, is_binary: bool) -> FloatArray:
    """Return the expected rewards (n, actions)."""
    rng = np.random.RandomState(seed)
    coefficients, own = rng.uniform(size=(ACTIONS, DIMENSIONS)), rng.uniform(size=ACTIONS)
    values = contexts @ coefficients.T + own
    return np.asarray(1 / (1 + np.exp(-values)) if is_binary else values)


def behaviour_policy(contexts: FloatArray, seed: int) -> FloatArray:
    """Return the probabilities (n, actions)."""
    rng = np.random.RandomState(seed)
    coefficients, own = rng.uniform(size=DIMENSIONS), rng.uniform(size=ACTIONS)
    return softmax((contexts @ coefficients)[:, None] + own)


def softmax(values: FloatArray) -> FloatArray:
    """Return probabilities along the last axis."""
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def bandit_set(seed: int, size: int, is_binary: bool) -> BanditSet:
    """Draw logged decisions."""
    rng = np.random.RandomState(seed)
    contexts = rng.normal(size=(size, DIMENSIONS))
    behaviour = behaviour_policy(contexts, seed)
    actions = np.array([rng.choice(np.arange(ACTIONS), p=row) for row in behaviour])
    expected = reward_function(contexts, seed, is_binary)[np.arange(size), actions]
    rewards = rng.binomial(1, expected).astype(float) if is_binary else expected + rng.normal(size=size)
    return BanditSet(contexts, behaviour, actions, rewards)


def new_policies(contexts: FloatArray, seed: int, is_binary: bool) -> dict[str, FloatArray]:
    """Return the probabilities (n, actions) of the policies that are to be judged."""
    expected = reward_function(contexts, seed, is_binary)
    best = np.full_like(expected, 0.1 / ACTIONS)
    best[np.arange(len(contexts)), expected.argmax(axis=1)] += 0.9
    return {"softmax": softmax(expected * 2), "wrong": softmax(-expected), "best": best}


def terms_of(data: BanditSet, policy: FloatArray) -> LoggedTerms:
    """Return what the estimators need: the model's values are cross-fitted."""
    size = len(data.rewards)
    modelled = np.empty((size, ACTIONS))
    folds = np.arange(size) % FOLDS
    for fold in range(FOLDS):
        is_known = folds != fold
        modelled[~is_known] = _ridge(data, is_known, data.contexts[~is_known])
    rows = np.arange(size)
    weight = policy[rows, data.actions] / data.behaviour[rows, data.actions]
    return LoggedTerms((policy * modelled).sum(axis=1), modelled[rows, data.actions], weight, data.rewards)


def _ridge(data: BanditSet, is_known: np.ndarray[tuple[int], np.dtype[np.bool_]], contexts: FloatArray) -> FloatArray:
    """Return the expected reward of each action (n, actions): a ridge regression each, toward the common mean."""
    mean = float(data.rewards[is_known].mean())
    values = np.full((len(contexts), ACTIONS), mean)
    for action in range(ACTIONS):
        rows = is_known & (data.actions == action)
        features = np.column_stack([np.ones(rows.sum()), data.contexts[rows]])
        inverse = features.T @ features + RIDGE * np.eye(DIMENSIONS + 1)
        coefficients = np.linalg.solve(inverse, features.T @ (data.rewards[rows] - mean))
        values[:, action] += np.column_stack([np.ones(len(contexts)), contexts]) @ coefficients
    return values


def graded(sets: int, first_seed: int, size: int, is_binary: bool) -> dict[str, dict[str, tuple[float, float]]]:
    """Return for each new policy and estimator how often its interval holds the truth, and its RMSE."""
    held: dict[tuple[str, str], list[tuple[bool, float]]] = {}
    for seed in range(first_seed, first_seed + sets):
        data = bandit_set(seed, size, is_binary)
        elsewhere = np.random.RandomState([seed, 1]).normal(size=(CONTEXTS_FOR_TRUTH, DIMENSIONS))
        expected, truths = reward_function(elsewhere, seed, is_binary), new_policies(elsewhere, seed, is_binary)
        for name, policy in new_policies(data.contexts, seed, is_binary).items():
            truth = float((truths[name] * expected).sum(axis=1).mean())
            terms = terms_of(data, policy)
            for method, estimator in ESTIMATORS.items():
                told = estimator(terms)
                held.setdefault((name, method), []).append((told.holds(truth), (told.value - truth) ** 2))
    table: dict[str, dict[str, tuple[float, float]]] = {}
    for (name, method), rows in held.items():
        covered, squared = np.array(rows, dtype=float).mean(axis=0)
        table.setdefault(name, {})[method] = float(covered), float(squared**0.5)
    return table


def main() -> int:
    """Print the table; return 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sets", type=int, default=1_200)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print(
        f"{'rewards':>8} {'n':>5} {'policy':>8}  "
        + "  ".join(f"{name:>13}" for name in ESTIMATORS)
        + "   covered (RMSE)"
    )
    worst = 1.0
    for is_binary in (True, False):
        for size in SIZES:
            for policy, row in graded(asked.sets, asked.seed, size, is_binary).items():
                cells = "  ".join(f"{covered:.3f} ({error:.3f})" for covered, error in row.values())
                print(f"{'binary' if is_binary else 'linear':>8} {size:>5} {policy:>8}  {cells}", flush=True)
                worst = min(worst, row["SN-DR (ours)"][0])
    print(f"lowest coverage of SN-DR: {worst:.3f} (bar {BAR:.2f})")
    return int(worst < BAR)


if __name__ == "__main__":
    raise SystemExit(main())
