"""Running a handler so that nothing it does can hurt the loop: in a child process that can be ended for good.

A handler that never returns is killed with all that it started, one that crashes is a failed result with the
signal named, one that eats memory is refused more, and one that prints or raises leaves its words in the result.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import cloudpickle  # type: ignore[import-untyped]

from handlers.contract.action import ActionContext, ActionHandler
from handlers.contract.results import ActionResult, explain, to_result
from handlers.sandbox.channel import Conversation
from handlers.sandbox.child import make_call
from handlers.sandbox.terminate import end_tree
from storage.private import masked, masked_in, secrets_in
from storage.records import ReceiptStatus

Phase = Literal["run", "undo", "capture", "check", "drill", "clear"]

PROJECT_ROOT = str(Path(__file__).resolve().parents[2])
BOOT = "import sys; sys.path.insert(0, sys.argv[2]); from handlers.sandbox.child import main; main(int(sys.argv[3]))"


@dataclass(frozen=True)
class CallResult:
    """What came of one call of a handler.

    `value` holds what capture or drill returned, and is None for the other phases and wherever the call failed;
    for check, `status` is its answer. `is_over` says that nothing of it goes on.
    """

    status: ReceiptStatus
    detail: str = ""
    impact: dict[str, float] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    undo: dict[str, Any] | None = None
    value: dict[str, Any] | None = None
    duration_s: float = 0.0
    is_over: bool = True

    @property
    def succeeded(self) -> bool:
        """Tell whether the call did what it was asked for."""
        return self.status is ReceiptStatus.SUCCEEDED


@dataclass(frozen=True)
class _Ended:
    """How the child ended: its answer if it gave one, its exit code, what it printed."""

    answer: bytes | None
    exit_code: int
    output: str
    is_timed_out: bool


def call(
    handler: ActionHandler,
    phase: Phase,
    params: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    context: ActionContext,
    timeout_s: float | None = None,
) -> CallResult:
    """Call one function of a handler in a child process and say what came of it, without its secrets; it never raises.

    After `timeout_s` seconds (the handler's own where None) the child is killed with all that it started. A
    handler that cannot be pickled runs in a thread, which cannot be ended: the detail says so.
    """
    limit_s = handler.timeout_s if timeout_s is None else timeout_s
    started_s = time.monotonic()
    parts = {"phase": phase, "params": dict(params), "before": dict(before or {}), "context": context}
    result, known = _call(handler, parts, limit_s), secrets_in(context.options)
    told = {"detail": masked(result.detail, known), "evidence": masked_in(result.evidence, known)}
    return replace(result, **told, duration_s=time.monotonic() - started_s)


def _call(handler: ActionHandler, parts: dict[str, Any], limit_s: float) -> CallResult:
    phase, context = parts["phase"], parts["context"]
    has_no_code = phase != "run" and getattr(handler.hooks, phase) is None
    if has_no_code or (context.dry_run and phase in {"run", "undo"} and not handler.explains_dry_run):
        return _interpret(phase, context, make_call(handler, parts))
    if handler.runs_in_process:
        return _call_in_thread(handler, parts, limit_s, "")
    try:
        target = {"source": handler.source} if handler.source else {"pickled": cloudpickle.dumps(handler)}
        told = {**parts, **target, "memory_mb": handler.memory_mb}
        payload = pickle.dumps((list(sys.path), cloudpickle.dumps(told)))
    except Exception as error:
        reason = (
            f"It ran in this process, where it cannot be ended, because it cannot be sent to another: {explain(error)}"
        )
        return _call_in_thread(handler, parts, limit_s, reason)
    try:
        ended = _run_child(handler.name, payload, limit_s)
    except OSError as error:
        return CallResult(_bad(phase), f"No process could be started for the handler: {error}")
    return _judge(phase, context, ended, limit_s)


def _run_child(name: str, payload: bytes, limit_s: float) -> _Ended:
    answer_read, answer_write = os.pipe()
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", BOOT, f"foreact-handler:{name}", PROJECT_ROOT, str(answer_write)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[answer_write],
            start_new_session=True,
        )
    except OSError:
        os.close(answer_read)
        raise
    finally:
        os.close(answer_write)
    with child, Conversation(child, answer_read) as conversation:
        try:
            is_timed_out = not conversation.hold(payload, limit_s)
        finally:
            # What a handler that answered has left running was meant to run on; all other remains are cleared away,
            # also when this call itself is interrupted.
            if conversation.answer is None or not conversation.is_over:
                end_tree(child.pid)
        return _Ended(conversation.answer, child.wait(), conversation.output, is_timed_out)


def _judge(phase: Phase, context: ActionContext, ended: _Ended, limit_s: float) -> CallResult:
    if ended.is_timed_out:
        detail = f"The handler did not return within {limit_s:g} s and was ended with everything it had started."
        result = CallResult(_bad(phase, ReceiptStatus.TIMED_OUT), detail)
    elif ended.answer is None:
        # What it did before it ended nobody knows.
        status = ReceiptStatus.UNKNOWN if phase in {"run", "undo"} else ReceiptStatus.FAILED
        result = CallResult(_bad(phase, status), _cause_of_death(ended.exit_code))
    else:
        answer = json.loads(ended.answer, parse_constant=str)
        if "error" in answer:
            result = CallResult(_bad(phase), answer["error"])
        else:
            result = _interpret(phase, context, answer["value"])
    if not ended.output:
        return result
    return replace(result, evidence={**result.evidence, "output": ended.output})


def _cause_of_death(exit_code: int) -> str:
    if exit_code >= 0:
        return f"The handler's process exited with code {exit_code} before it answered."
    name = signal.Signals(-exit_code).name
    hint = " (possibly out of memory)" if name == "SIGKILL" else ""
    return f"The handler's process was ended by {name}{hint} before it answered."


def _interpret(phase: Phase, context: ActionContext, value: Any) -> CallResult:
    if phase in {"run", "undo"}:
        return _of_result(to_result(value), context)
    if phase == "check":
        answers = {"succeeded": ReceiptStatus.SUCCEEDED, "skipped": ReceiptStatus.SKIPPED}
        return CallResult(answers.get(str(value), ReceiptStatus.UNKNOWN))
    if isinstance(value, dict) or (value is None and phase == "drill"):
        return CallResult(ReceiptStatus.SUCCEEDED, value=value)
    return CallResult(ReceiptStatus.FAILED, f"{phase} returned {type(value).__name__} instead of a dict.")


def _of_result(result: ActionResult, context: ActionContext) -> CallResult:
    if result.skipped:
        status = ReceiptStatus.SKIPPED
    elif not result.success:
        status = ReceiptStatus.FAILED
    else:
        status = ReceiptStatus.DRY_RUN if context.dry_run else ReceiptStatus.SUCCEEDED
    return CallResult(status, result.detail, result.impact, result.evidence, result.undo)


def _bad(phase: Phase, status: ReceiptStatus = ReceiptStatus.FAILED) -> ReceiptStatus:
    return ReceiptStatus.UNKNOWN if phase == "check" else status


def _call_in_thread(handler: ActionHandler, parts: dict[str, Any], limit_s: float, warning: str) -> CallResult:
    """Make the call in this process, for want of a better place; a thread cannot be ended from outside."""
    phase, context = parts["phase"], parts["context"]
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(_attempt(handler, parts)), daemon=True)
    thread.start()
    thread.join(limit_s)
    if not answers:
        detail = f"The handler did not return within {limit_s:g} s and is still running. {warning}"
        return CallResult(_bad(phase, ReceiptStatus.TIMED_OUT), detail.strip(), is_over=False)
    answer = answers[0]
    if "error" in answer:
        return CallResult(_bad(phase), f"{answer['error']} {warning}".strip())
    result = _interpret(phase, context, answer["value"])
    return replace(result, detail=f"{result.detail} {warning}".strip())


def _attempt(handler: ActionHandler, parts: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"value": make_call(handler, parts)}
    except BaseException as error:
        return {"error": explain(error)}
