"""Run a program with arguments of which the configuration says what may stand in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from handlers.contract.action import AMOUNT, ActionContext, CheckAnswer, Params
from handlers.contract.parameters import checked
from handlers.contract.registration import action
from handlers.contract.results import ActionResult
from handlers.support.programs import MEGABYTE, Ran, RunLimits, filled, found, placeholders, run_program
from storage.private import HIDDEN, masked

if TYPE_CHECKING:
    from pydantic import BaseModel

    from storage.records import Candidate, Goal

REMEDY = "Set argv under [actions.run_command], or under a section that uses it, in foreact.toml."
RUNNERS = re.compile(
    r"(ba|da|z|k|mk|fi|c|tc|a|pw|xon|oil)?sh|(pypy|python|perl|ruby|php|lua|luajit|node|nodejs|java|tclsh|wish)[\d.]*[tw]?|"
    r"deno|bun|Rscript|R|julia|expect|[gmn]?awk|sed|ssh|rsh|env|sudo|doas|su|runuser|xargs|parallel|watch|at|batch|eval|exec|"
    r"script|busybox|toybox|nohup|setsid|nice|ionice|stdbuf|chrt|taskset|timeout|time|flock|chroot|unshare|nsenter|setpriv|"
    r"systemd-run|strace|ltrace|gdb|psql|mysql|mariadb|sqlite3|duckdb"
)
"""Programs that take a word for code, or for the program that they are to start."""
BEFORE_ITS_PROGRAM = {"ssh", "rsh", "timeout", "chroot", "flock", "taskset", "chrt", "su", "runuser", "exec"}
"""Those that take a word (a host, a time, a file) before the program that they start."""
REMOTE = {"ssh", "rsh", "su", "watch", "at", "batch", "script", "parallel", "xargs", "eval"}
"""Programs that hand their arguments to a shell after all: a value may hold nothing that a shell would read."""
PLAIN_WORD = re.compile(r"[\w@%+:,./][\w@%+:,./-]*")
CLIMBS = re.compile(r"(?<![\w.-])\.\.(?![\w.-])")
TYPES = {"string": str, "integer": int, "number": float, "boolean": bool}
SAID = {"type", "default", "least", "most", "choices", "pattern", "description"}
BEFORE = "before"
"""The placeholder in `undo_argv` for what `capture_argv` printed before the act."""
MOST_CHARS = 200


def _can_be_undone(options: Params) -> bool:
    return bool(options.get("undo_argv"))


def _model(options: Params) -> type[BaseModel]:
    """Return the model of the parameters that the options describe; anything goes where no command is configured."""
    from pydantic import ConfigDict, create_model

    said = dict(options.get("parameters") or {})
    if AMOUNT in placeholders(options.get("argv") or ()):
        said.setdefault(AMOUNT, {"type": "number", "least": 0, "description": "how many, as planned"})
    config = ConfigDict(extra="forbid" if options.get("argv") else "allow")
    fields: dict[str, Any] = {name: _field(name, each) for name, each in said.items()}
    return create_model("CommandParameters", __config__=config, **fields)


def _field(name: str, said: Any) -> tuple[Any, Any]:
    from pydantic import AfterValidator, Field

    kind = said.get("type", "string") if isinstance(said, Mapping) else None
    if not isinstance(said, Mapping) or kind not in TYPES or not set(said) <= SAID:
        raise ValueError(
            f"the parameter {name} is not described as it must be: type is one of {', '.join(TYPES)}, "
            f"beside it may stand {', '.join(sorted(SAID - {'type'}))}. Correct it in foreact.toml."
        )
    told = {"ge": said.get("least"), "le": said.get("most"), "description": said.get("description")}
    default = said.get("default", ...)
    if said.get("choices"):
        return Literal[tuple(said["choices"])], Field(default, description=told["description"])
    if TYPES[kind] is str:
        pattern = None if said.get("pattern") is None else f"^(?:{said['pattern']})$"
        return Annotated[str, AfterValidator(_is_plain)], Field(
            default, max_length=MOST_CHARS, pattern=pattern, description=told["description"]
        )
    limits: dict[str, Any] = {key: value for key, value in told.items() if value is not None}
    if kind == "number":
        limits["allow_inf_nan"] = False
    return TYPES[kind], Field(default, **limits)


def _is_plain(text: str) -> str:
    """Refuse what a program may take for an option of its own, or cannot be given at all."""
    if text.startswith("-"):
        raise ValueError("it must not begin with a dash, or the program takes it for an option")
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("it must not hold control characters")
    if CLIMBS.search(text):
        raise ValueError("it must not hold .. , which leads out of a folder")
    return text


@action(
    name="run_command",
    default_level="approve",
    undo_with=_can_be_undone,
    risk="high",
    timeout_s=60.0,
    cooldown_s=300.0,
    rate_limits=("6/hour", "30/day"),
    latency_s=30.0,
    cost=0.1,
    explains_dry_run=True,
    needs=("argv",),
    parameters=_model,
    options={
        "argv": "the program and its arguments as a list; {name} stands for a parameter, {amount} for what is planned",
        "parameters": "table of parameter = { type, default, least, most, choices, pattern, description }",
        "offers": "list of parameter sets that are proposed; one, of the defaults",
        "undo_argv": "what takes it back; {before} is what capture_argv printed. Without it it cannot be undone",
        "capture_argv": "what prints the state before the act",
        "check_argv": "what tells whether the effect is in place: exit code 0 yes, 1 no, any other unknown",
        "environment": "table of variables for the program; their values are never shown",
        "folder": "where it runs; the folder of foreact",
        "timeout_s": "seconds for each program; 20",
        "max_memory_mb": "memory for each process; 1000",
        "max_output_kb": "most that it may write; 1000",
        "target": "what it acts on, for the limit on one target; the program's name",
    },
    example_params={"count": 3},
)
def run_command(params: Params, context: ActionContext) -> ActionResult:
    """Run a configured program, without a shell, within limits of time, memory and output.

    It succeeds with exit code 0. Each placeholder becomes part of one argument, whatever its value holds.
    """
    try:
        argv = _argv("argv", params, context)
    except ValueError as refusal:
        return ActionResult(False, f"Refused: {refusal}", skipped=not context.options.get("argv"))
    shown = " ".join(_shown(argv, context))
    if context.dry_run:
        return ActionResult(True, f"Dry run: would run {shown}.")
    ran = _run(argv, context)
    evidence = {"argv": _shown(argv, context), "exit_code": ran.exit_code, "output": ran.output}
    return ActionResult(ran.is_good, f"{shown} {ran.sentence}", evidence=evidence)


@run_command.capture
def _capture(params: Params, context: ActionContext) -> dict[str, Any]:
    if not context.options.get("capture_argv"):
        return {}
    ran = _run(_argv("capture_argv", params, context), context)
    if not ran.is_good:
        raise LookupError(f"the state before cannot be read: capture_argv {ran.sentence} {ran.output}".strip())
    if BEFORE in placeholders([*(context.options.get("undo_argv") or ()), *(context.options.get("check_argv") or ())]):
        _is_fit_to_go_back(ran.output)
    return {BEFORE: ran.output}


def _is_fit_to_go_back(before: str) -> None:
    """Raise LookupError where what was captured could not be handed to a program again: then nothing is done."""
    try:
        _is_plain(before)
    except ValueError as refusal:
        raise LookupError(f"what capture_argv printed cannot be used as {{{BEFORE}}}: {refusal}") from None
    if HIDDEN in before:
        raise LookupError(f"what capture_argv printed holds a secret, which is not kept: it cannot be {{{BEFORE}}}")


@run_command.check
def _check(params: Params, before: Params, context: ActionContext) -> CheckAnswer:
    if not context.options.get("check_argv"):
        return "unknown"
    ran = _run(_argv("check_argv", params, context, before), context)
    answers: dict[int, CheckAnswer] = {0: "succeeded", 1: "skipped"}
    return "unknown" if ran.past else answers.get(ran.exit_code, "unknown")


@run_command.undo
def _undo(params: Params, before: Params, context: ActionContext) -> ActionResult:
    try:
        argv = _argv("undo_argv", params, context, before)
    except ValueError as refusal:
        return ActionResult(False, f"It cannot be undone: {refusal}")
    shown = " ".join(_shown(argv, context))
    if context.dry_run:
        return ActionResult(True, f"Dry run: would run {shown}.")
    ran = _run(argv, context)
    return ActionResult(ran.is_good, f"{shown} {ran.sentence}", evidence={"output": ran.output})


@run_command.propose
def _propose(goal: Goal, context: ActionContext) -> list[Candidate]:
    """Propose each set of parameters that is offered and fits; what is planned is not asked for here."""
    from storage.records import Candidate

    options = context.options
    if not options.get("argv"):
        return []
    name = PurePath(str(options["argv"][0])).name
    planned = {AMOUNT: (options.get("parameters") or {}).get(AMOUNT, {}).get("least", 0)}
    candidates = []
    offers: list[dict[str, Any]] = list(options.get("offers") or [{}])
    for offer in offers:
        checked(_model, {**(planned if AMOUNT in placeholders(options["argv"]) else {}), **offer}, options)
        target = str(options.get("target") or f"command:{name}")
        candidates.append(Candidate(action="run_command", params=dict(offer), target=target))
    return candidates


def _argv(which: str, params: Params, context: ActionContext, before: Params | None = None) -> list[str]:
    """Return a configured command with everything filled in; ValueError says why there is none."""
    template = context.options.get(which)
    if not template:
        raise ValueError(f"no {which} is configured. {REMEDY}")
    if isinstance(template, str) or not all(isinstance(word, str) for word in template):
        raise ValueError(f'{which} must be a list of words, as in ["/usr/bin/touch", "{{name}}"].')
    program, *rest = template
    if placeholders([program]):
        raise ValueError(f"the program of {which} must be named itself: a parameter cannot choose it.")
    if (trouble := _read_as_code(template)) is not None:
        runner, word = trouble
        raise ValueError(
            f"{runner} could run what a parameter holds in {word!r} as code. Put the code into a file, name that file "
            f"right after {runner}, without options, and let it take the parameter as an argument."
        )
    if found(program) is None:
        raise ValueError(f"there is no program {program} that can be run; name it with its whole path.")
    values = {name: _word(value) for name, value in {**params, **(before or {})}.items()}
    if before and isinstance(before.get(BEFORE), str) and BEFORE in placeholders(rest):
        _is_plain(before[BEFORE])
    if any(PurePath(word).name in REMOTE for word in template):
        odd = sorted(
            name for name in placeholders(rest) & values.keys() if not re.fullmatch(r"[\w@%+=:,./-]*", values[name])
        )
        if odd:
            raise ValueError(f"a shell would read more than a word in {', '.join(odd)}.")
    argv = filled(template, values)
    if any(len(CLIMBS.findall(word)) > len(CLIMBS.findall(said)) for word, said in zip(argv, template, strict=True)):
        raise ValueError("its parameters together would lead out of a folder (..).")
    return argv


def _read_as_code(template: list[str]) -> tuple[str, str] | None:
    """Return an interpreter or starter of programs and the word with a parameter that it might run; None without.

    Which of its options take code nobody can know for all of them. So a parameter may come only after a plain word
    that stands right after it: its file of code, or the program that it starts.
    """
    for place, word in enumerate(template):
        name = PurePath(word).name
        if not RUNNERS.fullmatch(name):
            continue
        rest = template[place + 1 :]
        plain = 2 if name in BEFORE_ITS_PROGRAM else 1
        if len(rest) >= plain and all(PLAIN_WORD.fullmatch(each) for each in rest[:plain]):
            continue
        if (held := next((each for each in rest if placeholders([each])), None)) is not None:
            return word, held
    return None


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _run(argv: list[str], context: ActionContext) -> Ran:
    options = context.options
    limits = RunLimits(
        timeout_s=float(options.get("timeout_s", 20)),
        memory_bytes=int(float(options.get("max_memory_mb", 1_000)) * MEGABYTE),
        output_bytes=int(float(options.get("max_output_kb", 1_000)) * 1_000),
    )
    folder = str(options["folder"]) if options.get("folder") else None
    ran = run_program(argv, limits, _environment(context), folder)
    return Ran(ran.exit_code, masked(ran.output, _environment(context).values()), ran.past)


def _environment(context: ActionContext) -> dict[str, str]:
    return {str(name): str(value) for name, value in (context.options.get("environment") or {}).items()}


def _shown(argv: list[str], context: ActionContext) -> list[str]:
    return [masked(word, _environment(context).values()) for word in argv]
