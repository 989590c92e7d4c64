"""How long the next run takes, by how long past ones took: a distribution that is conditional on the time elapsed.

Logs of lengths are regressed on what is known of a run (time of day, how many others run beside it), with several
memories and several sets of inputs at once; each counts as much as its one-step-ahead forecasts deserve (prediction
with expert advice, Cesa-Bianchi and Lugosi 2006). What is left over is kept as it fell, smoothed: two humps stay two.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from storage.records import FloatArray

FEWEST_PAST = 3
MOST_PAST = 200
HALF_LIVES = (4.0, 15.0, 60.0, 1e9)
"""In runs: how soon a past one counts half; a level that moves asks for a short one, a steady one for all there are."""

SCORE_MEMORY = 0.98
RESIDUAL_HALF_LIFE = 60.0
LEAST_SPREAD = 0.02
DOUBT = 0.35
"""The spread of logs that is assumed before anything is known, as heavy as `DOUBT_WEIGHT` runs."""

DOUBT_WEIGHT = 0.5
STUCK_WIDTH = 0.7
RIDGE = 1.0
"""In runs' worth of evidence: so much speaks for an input having no influence."""

LEAST_SHARE = 0.03
MOST_KERNELS = 120
LARGEST_LOG = 60.0


@dataclass(frozen=True)
class RunLengths:
    """A mixture of log-logistic kernels: `places` (n,) in logs of seconds, `weights` (n,) of sum 1, `widths` (n,).

    `offset_s` was added to every length before its log was taken: delays may be nought.
    """

    places: FloatArray
    weights: FloatArray
    widths: FloatArray
    offset_s: float = 0.0

    def longer_than(self, length_s: float) -> float:
        """Return the probability that a run takes longer than so many seconds."""
        return self.longer_given(length_s, 0.0)

    def longer_given(self, length_s: float, elapsed_s: float) -> float:
        """Return the probability that a run takes longer than `length_s`, as it has taken `elapsed_s` already."""
        if length_s <= elapsed_s:
            return 1.0
        logs = np.array([self._log(length_s), self._log(elapsed_s)])
        then, passed = self._log_survival(logs).tolist()
        return float(np.exp(min(0.0, then - (passed if elapsed_s > 0 else 0.0))))

    def draw(self, elapsed_s: float, levels: FloatArray) -> FloatArray:
        """Return lengths in seconds (n,) at levels (n,) in (0, 1), given that `elapsed_s` have passed."""
        low, high = float((self.places - 8 * self.widths).min()), float((self.places + 8 * self.widths).max())
        if elapsed_s > 0:
            low = self._log(elapsed_s)
            high = max(high, low + 3.0)
        grid = np.linspace(low, high, 100)
        survival = self._log_survival(grid)
        passed = 1 - np.exp(np.minimum(0.0, survival - (survival[0] if elapsed_s > 0 else 0.0)))
        logs = np.interp(levels, np.maximum.accumulate(passed), grid)
        return np.asarray(np.maximum(np.exp(np.minimum(logs, LARGEST_LOG)) - self.offset_s, elapsed_s))

    def _log(self, length_s: float) -> float:
        return float(np.log(max(length_s + self.offset_s, 1e-3)))

    def _log_survival(self, logs: FloatArray) -> FloatArray:
        # 1 / (1 + exp(z)) in logs: far in the tail the ratio of two of these is still a number.
        kernels = np.log(self.weights) - np.logaddexp(0.0, (logs[:, None] - self.places) / self.widths)
        top = kernels.max(axis=1)
        return np.asarray(top + np.log(np.exp(kernels - top[:, None]).sum(axis=1)))


def run_lengths(past_s: FloatArray, inputs: FloatArray, now: FloatArray, offset_s: float = 0.0) -> RunLengths | None:
    """Return how long the next run takes after past lengths (n,) in seconds, oldest first; None after too few.

    `inputs` (n, k) are what was known of each past run, `now` (k,) of the next; an input that says nothing is nought.
    """
    past_s, inputs = past_s[-MOST_PAST:], inputs[-MOST_PAST:]
    if len(past_s) < FEWEST_PAST:
        return None
    logs = np.log(np.maximum(past_s + offset_s, 1e-3))
    fitted = _fitted(logs.tobytes(), np.ascontiguousarray(inputs).tobytes(), inputs.shape[1])
    ahead = (fitted.coefficients * np.array([1.0, *now])).sum(axis=1)
    chosen = np.flatnonzero(fitted.shares >= LEAST_SHARE)
    places = fitted.centre + ahead[chosen, None] + fitted.missed[chosen]
    joint = fitted.shares[chosen, None] * fitted.weights
    widths = np.broadcast_to(fitted.widths[chosen, None], places.shape)
    usual = fitted.centre + float(np.average(ahead[chosen], weights=fitted.shares[chosen]))
    return _with_doubt(*_thinned(places.ravel(), joint.ravel(), widths.ravel()), usual, fitted.count, offset_s)


def _thinned(places: FloatArray, weights: FloatArray, widths: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the places and widths of `MOST_KERNELS` kernels: those at evenly spread shares of the whole."""
    order = np.argsort(places, kind="stable")
    shares = np.cumsum(weights[order])
    chosen = order[np.searchsorted(shares / shares[-1], (np.arange(MOST_KERNELS) + 0.5) / MOST_KERNELS)]
    return places[chosen], widths[chosen]


def _with_doubt(places: FloatArray, widths: FloatArray, usual: float, count: float, offset_s: float) -> RunLengths:
    """Return kernels beside what past runs cannot say: that this one is unlike them, by a little or in kind.

    As many runs as were seen speak for the next being like them, half a run each for either (the rule of succession).
    One that has taken longer than all of them is stuck: it lasts about as long again, whatever their spread was.
    """
    all_places = np.concatenate([places, usual + DOUBT * np.array([-1.5, 0.0, 1.5]), [usual]])
    all_widths = np.concatenate([widths, np.full(3, DOUBT / 2), [STUCK_WIDTH]])
    weights = np.concatenate([np.full(len(places), count / len(places)), np.full(3, DOUBT_WEIGHT / 3), [DOUBT_WEIGHT]])
    return RunLengths(all_places, weights / weights.sum(), all_widths, offset_s)


@dataclass(frozen=True)
class _Fitted:
    """What past runs taught: by expert coefficients (c, k), what it missed (c, n), kernel width and share (c,).

    `weights` (n,) are those of past runs, `count` how many they are worth.
    """

    centre: float
    coefficients: FloatArray
    missed: FloatArray
    weights: FloatArray
    widths: FloatArray
    shares: FloatArray
    count: float


@lru_cache(maxsize=128)
def _fitted(logs_as_bytes: bytes, inputs_as_bytes: bytes, count: int) -> _Fitted:
    """Return what past runs taught; kept, as the past of a deployment is the same until its next run ends."""
    logs = np.frombuffer(logs_as_bytes)
    inputs = np.frombuffer(inputs_as_bytes).reshape(len(logs), count)
    centre = float(np.median(logs))
    coefficients, missed, scores = _one_step_ahead(logs - centre, inputs)
    shares = np.exp(scores - scores.max())
    age = np.arange(len(logs) - 1, -1, -1, dtype=np.float64)
    # The first forecasts were made of next to nothing; what they missed by says little of this one.
    known = np.minimum(np.arange(len(logs), dtype=np.float64) / FEWEST_PAST, 1.0)
    recent = 0.5 ** (age / RESIDUAL_HALF_LIFE) * known
    return _Fitted(
        centre=centre,
        coefficients=coefficients,
        missed=missed,
        weights=recent / recent.sum(),
        widths=np.array([_kernel_width(row, recent) for row in missed]),
        shares=shares / shares.sum(),
        count=float(recent.sum()),
    )


def _one_step_ahead(logs: FloatArray, inputs: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return by expert its coefficients (c, 1 + k), what it missed each past run by (c, n), and its score (c,)."""
    columns = np.concatenate([np.ones((len(logs), 1)), inputs], axis=1)
    k = columns.shape[1]
    masks = np.array([[1.0, *mask] for mask in _masks(k - 1)])
    half_lives, masks = (
        np.repeat(np.array(HALF_LIVES), len(masks)),
        np.tile(masks, (len(HALF_LIVES), 1)),
    )
    fade = 0.5 ** (1 / half_lives)
    ridge = np.diag([1e-3, *np.full(k - 1, RIDGE)])
    seen, drawn = np.zeros((len(fade), k, k)), np.zeros((len(fade), k))
    missed = np.zeros((len(fade), len(logs)))
    scores, variance = np.zeros(len(fade)), np.full(len(fade), DOUBT**2)
    coefficients = np.zeros((len(fade), k))
    for place, log in enumerate(logs.tolist()):
        row = masks * columns[place]
        miss = log - (coefficients * row).sum(axis=1)
        missed[:, place] = miss
        if place >= FEWEST_PAST - 1:
            # Student's t of 4 degrees: one run that got stuck must not decide between experts.
            scores = SCORE_MEMORY * scores - 0.5 * np.log(variance) - 2.5 * np.log1p(miss**2 / (4 * variance))
            variance = np.maximum(0.93 * variance + 0.07 * np.minimum(miss**2, 9 * variance), LEAST_SPREAD**2)
        seen = fade[:, None, None] * seen + row[:, :, None] * row[:, None, :]
        drawn = fade[:, None] * drawn + row * log
        coefficients = np.linalg.solve(seen + ridge, drawn[..., None])[..., 0]
    return coefficients * masks, missed, scores


def _masks(count: int) -> list[tuple[float, ...]]:
    """Return which inputs each expert goes by: with few inputs every choice of them."""
    return list(product((0.0, 1.0), repeat=count))


def _kernel_width(residuals: FloatArray, weights: FloatArray) -> float:
    """Return the width of a logistic kernel (Silverman's rule, on the narrower of sd and interquartile range)."""
    if weights.sum() <= 0:
        return DOUBT
    order = np.argsort(residuals)
    ranks = np.cumsum(weights[order]) / weights.sum()
    low, high = np.interp([0.25, 0.75], ranks, residuals[order])
    mean = float(np.average(residuals, weights=weights))
    sd = float(np.sqrt(np.average((residuals - mean) ** 2, weights=weights)))
    count = weights.sum() ** 2 / (weights**2).sum()
    spread = min(sd, (high - low) / 1.34) or sd
    return float(max(0.9 * spread * count**-0.2 * np.sqrt(3) / np.pi, LEAST_SPREAD / 2))
