"""A sequence under way: whether its next step may begin, what is to be undone, and how it ended.

A saga (Garcia-Molina and Salem 1987, doi:10.1145/38713.38742): each step is an act of its own with an undo of its own.
Where one fails, those before it are undone, the last one first. All is told by what is on record of the steps, so that
whoever comes after a crash decides as the one before would have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from storage.actions import ActionView
from storage.facts import SequenceEnd, SequenceHow
from storage.records import ReceiptStatus, sequence_name
from tasks.interventions.declared_facts import DeclaredFacts
from tasks.interventions.undo import may_try_again

_IN_PLACE = frozenset({ReceiptStatus.SUCCEEDED, ReceiptStatus.UNKNOWN, ReceiptStatus.TIMED_OUT})
GIVEN_UP = "The sequence ended before it:"
"""With these words the receipt of a step begins that was given up since another one failed."""
_REHEARSED = frozenset({ReceiptStatus.SUCCEEDED, ReceiptStatus.DRY_RUN})


@dataclass(frozen=True)
class Step:
    """One step with its undos so far, oldest first; `is_missing` where its check found that it did not take effect."""

    view: ActionView
    undos: tuple[ActionView, ...] = ()
    reversible: bool = False
    is_missing: bool = False
    facts: DeclaredFacts = field(default_factory=DeclaredFacts)

    @property
    def name(self) -> str:
        """Return what it is called among its steps: with its target, unless that is itself."""
        action = self.view.action
        return action.name if action.target == action.name else action.title

    @property
    def status(self) -> ReceiptStatus | None:
        """Return how it ended; None where it has not."""
        return self.view.receipt.status if self.view.receipt else None

    @property
    def is_undone(self) -> bool:
        """Tell whether it was taken back."""
        return any(each.receipt and each.receipt.status is ReceiptStatus.SUCCEEDED for each in self.undos)

    @property
    def is_in_place(self) -> bool:
        """Tell whether something of it may be there."""
        return self.status in _IN_PLACE and not self.is_undone and not self.is_missing


@dataclass(frozen=True)
class NextMove:
    """What is to be done about a sequence now: undo or give up a step, end it, or nothing while it waits."""

    kind: Literal["wait", "undo", "give up", "end"]
    step: Step | None = None
    reason: str = ""
    end: SequenceEnd | None = None


def why_not_next(steps: Sequence[Step], position: int, tick: datetime) -> tuple[bool, str] | None:
    """Return what keeps a later step from beginning: whether that is for good, and why; None where it may begin."""
    before, mine = steps[position - 1], steps[position]
    whole = f"step {position + 1} of {len(steps)}"
    if (failure := failure_of(steps[:position])) is not None:
        return True, f"{GIVEN_UP} {failure}"
    if before.status not in _REHEARSED:
        return False, f"It is {whole} and waits for {before.name}."
    assert before.view.receipt is not None
    gap = mine.view.action.due_at - before.view.action.due_at
    if tick < (begins_at := before.view.receipt.finished_at + gap):
        return False, f"It is {whole} and begins at {begins_at:%H:%M:%S} UTC, once {before.name} works."
    return None


def failure_of(steps: Sequence[Step]) -> str | None:
    """Say what went wrong with a sequence first; None where nothing did so far."""
    failures = sorted(each for step in steps for each in _failures(step))
    return failures[0][2] if failures else None


def _failures(step: Step) -> Iterator[tuple[datetime, int, str]]:
    """Yield what went wrong with a step: when, and of what happens at once in the order of cause and consequence."""
    if step.view.receipt is not None and step.status not in _REHEARSED:
        is_given_up = step.view.receipt.detail.startswith(GIVEN_UP)
        yield step.view.receipt.finished_at, 2 if is_given_up else 0, f"{step.name} ended as {step.status}."
    if step.view.receipt is not None and step.is_missing:
        yield step.view.receipt.finished_at, 0, f"a check found that {step.name} did not take effect."
    if step.undos:
        yield step.undos[0].action.created_at, 1, f"{step.name} was taken back."


def next_move(steps: Sequence[Step], tick: datetime, *, is_met: bool) -> NextMove:
    """Return what is to be done about a sequence now; asked again after each move until it waits or has ended.

    Where its goal `is_met` in the middle of it, what was done stays and the rest is given up.
    """
    failure = failure_of(steps)
    stopped = "Its goal is met." if is_met and steps[0].status is not None and not _is_failing(steps) else None
    if failure is None and steps[-1].status is not None:
        return _ended(steps, "done", "Every step was done.", tick)
    if failure is None and stopped is None:
        return NextMove("wait")
    pending = [step for step in steps if step.status is None]
    if (open_step := next((step for step in pending if step.view.intent is None), None)) is not None:
        return NextMove("give up", open_step, stopped or f"{GIVEN_UP} {failure}")
    if pending:
        return NextMove("wait")
    return _ended(steps, "stopped", stopped, tick) if stopped else _back(steps, str(failure), tick)


def _is_failing(steps: Sequence[Step]) -> bool:
    """Tell whether a step failed other than by being given up since the goal needed no more."""
    begun = [step for step in steps if step.view.intent is not None]
    return failure_of(begun) is not None


def _back(steps: Sequence[Step], failure: str, tick: datetime) -> NextMove:
    """Return the next undo of a sequence that failed, the last step first; what later steps stand on is left alone."""
    if not any(step.view.intent for step in steps):
        return _ended(steps, "stopped", f"It never began: {failure}", tick)
    left: list[Step] = []
    for step in reversed(steps):
        if not step.is_in_place:
            continue
        if step.undos and step.undos[-1].receipt is None:
            return NextMove("wait")
        carries = next((each for each in left if step.facts.provides & each.facts.requires), None)
        is_known = step.status is ReceiptStatus.SUCCEEDED
        if carries is None and is_known and step.reversible and may_try_again(step.undos, tick):
            return NextMove("undo", step, f"The sequence failed: {failure}")
        if carries is None and is_known and step.reversible and _is_tried_again_later(step, tick):
            return NextMove("wait")
        left.append(step)
    if not left:
        return _ended(steps, "undone", f"It failed: {failure} All that was done is undone.", tick)
    said = f"It failed: {failure} Still in place, as far as is known: {', '.join(step.name for step in left)}."
    return _ended(steps, "left", f"{said} Check by hand.", tick)


def _is_tried_again_later(step: Step, tick: datetime) -> bool:
    """Tell whether an undo that was refused is tried again after a pause."""
    return bool(step.undos) and may_try_again(step.undos, tick + timedelta(days=1))


def _ended(steps: Sequence[Step], how: SequenceHow, why: str, tick: datetime) -> NextMove:
    name = sequence_name(step.view.action.name for step in steps)
    return NextMove("end", end=SequenceEnd(how, tick, name, steps[0].view.action.goal_id, why))
