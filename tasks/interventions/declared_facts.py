"""What actions declare that they require and provide: which facts hold by that, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from handlers import ActionHandler
from storage.actions import ActionView
from storage.records import ReceiptStatus
from tasks.text import listed

NOT = "not "


@dataclass(frozen=True)
class DeclaredFacts:
    """The facts that an action requires and provides; `not x` stands for x not holding."""

    requires: frozenset[str] = frozenset()
    provides: frozenset[str] = frozenset()


def opposite(fact: str) -> str:
    """Return the fact that holds where this one does not."""
    return fact.removeprefix(NOT) if fact.startswith(NOT) else f"{NOT}{fact}"


def unmet(held: Collection[str], requires: Iterable[str]) -> tuple[str, ...]:
    """Return what is required and is not so, given the facts that hold, in alphabetical order."""
    return tuple(sorted(fact for fact in requires if (opposite(fact) in held if _ends(fact) else fact not in held)))


def held_after(held: frozenset[str], provides: Iterable[str]) -> frozenset[str]:
    """Return the facts that hold once an action has provided what it does; `not x` ends x."""
    provided = frozenset(provides)
    return (held - frozenset(map(opposite, filter(_ends, provided)))) | {each for each in provided if not _ends(each)}


def declared_facts(actions: Mapping[str, ActionHandler]) -> dict[str, DeclaredFacts]:
    """Return what each enabled action declares, of those that declare anything.

    What an action provides together with its opposite is left out; one that only informs brings nothing about.
    """
    found = {}
    for name, action in actions.items():
        provides = frozenset() if action.informs_only else _named(action.provides)
        declared = DeclaredFacts(_named(action.requires), provides - _contradicting(provides))
        if action.enabled and declared != DeclaredFacts():
            found[name] = declared
    return found


def facts_held(
    acts: Sequence[ActionView],
    actions: Mapping[str, ActionHandler],
    undone: Collection[str],
    reported: Mapping[str, bool],
    tick: datetime,
) -> frozenset[str]:
    """Return the facts that hold at a tick: those that acts in force provide, and those that are reported to hold.

    `acts` are in the order in which they ended, `undone` the ids of those that were taken back. An act is in force once
    it works and for as long as it does. What is reported goes before what acts say.
    """
    held, declared = frozenset[str](), declared_facts(actions)
    for view in acts:
        if view.action.name in declared and view.action.action_id not in undone and _is_in_force(view, actions, tick):
            held = held_after(held, declared[view.action.name].provides)
    said = {" ".join(fact.split()): is_so for fact, is_so in reported.items()}
    ended = {fact for fact, is_so in said.items() if not is_so}
    return (held - ended) | {fact for fact, is_so in said.items() if is_so}


def _is_in_force(view: ActionView, actions: Mapping[str, ActionHandler], tick: datetime) -> bool:
    receipt, action = view.receipt, actions[view.action.name]
    if receipt is None or receipt.status is not ReceiptStatus.SUCCEEDED or view.action.dry_run:
        return False
    works_from = receipt.finished_at + timedelta(seconds=action.latency_s)
    is_over = action.duration_s is not None and tick >= works_from + timedelta(seconds=action.duration_s)
    return works_from <= tick and not is_over


def doubts_about(actions: Mapping[str, ActionHandler]) -> tuple[str, ...]:
    """Return what is wrong with what actions declare, a sentence each: contradictions, unknown facts, cycles.

    An action whose requirements can never be met never begins; all others are as if it were not there.
    """
    enabled = {name: action for name, action in sorted(actions.items()) if action.enabled}
    declared = declared_facts(enabled)
    known = _reportable(enabled).union(*(each.provides for each in declared.values()))
    said = [*_contradictions(enabled)]
    unknown = {name: sorted(_missing(each, known)) for name, each in declared.items()}
    for name, facts in unknown.items():
        if facts:
            said.append(f"{name} requires {listed(facts)}, which no action provides or reports: it waits for that.")
    odd = {name for name, facts in unknown.items() if facts} | {name for name in enabled if _is_odd(enabled[name])}
    stuck = sorted(_stuck(declared, _reportable(enabled)) - odd)
    if stuck:
        one = "requires what only it provides, directly or not: it can never begin."
        many = "require of each other what only they provide: none of them can ever begin."
        said.append(f"{listed(stuck)} {one if len(stuck) == 1 else many}")
    return tuple(said)


def _contradictions(actions: Mapping[str, ActionHandler]) -> Iterator[str]:
    for name, action in actions.items():
        if facts := _contradicting(_named(action.provides)):
            yield f"{name} provides both {' and '.join(sorted(facts))}: neither is counted on."
        if facts := _contradicting(_named(action.requires)):
            yield f"{name} requires both {' and '.join(sorted(facts))}: it can never begin."


def _is_odd(action: ActionHandler) -> bool:
    return bool(_contradicting(_named(action.requires)))


def _stuck(declared: Mapping[str, DeclaredFacts], reportable: frozenset[str]) -> frozenset[str]:
    """Return the actions that never begin, however many others went before: their positive facts are never reached."""
    reached, begun = set(reportable), set[str]()
    while fresh := {name for name, each in declared.items() if name not in begun and not _missing(each, reached)}:
        begun |= fresh
        reached |= {fact for name in fresh for fact in declared[name].provides}
    return frozenset(declared) - begun


def _missing(declared: DeclaredFacts, known: Collection[str]) -> set[str]:
    """Return the facts that are required and not known; what is not so needs nobody that provides it."""
    return {fact for fact in declared.requires if not _ends(fact) and fact not in known}


def _reportable(actions: Mapping[str, ActionHandler]) -> frozenset[str]:
    """Return the facts that handlers may report: those named by one that reports any."""
    reporting = [each for each in actions.values() if each.hooks.holds is not None]
    return frozenset[str]().union(*(_named(each.provides) | _named(each.requires) for each in reporting))


def _named(facts: Iterable[str]) -> frozenset[str]:
    return frozenset(written for fact in facts if (written := " ".join(str(fact).split())))


def _contradicting(facts: Collection[str]) -> frozenset[str]:
    return frozenset(fact for fact in facts if opposite(fact) in facts)


def _ends(fact: str) -> bool:
    return fact.startswith(NOT)
