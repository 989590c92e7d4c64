"""How actions come into being: the decorator, plain callables, and finding every action in the house."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from handlers.contract.action import (
    ActionContext,
    ActionHandler,
    CaptureHook,
    CheckHook,
    ClearHook,
    DrillHook,
    HoldsHook,
    Hooks,
    Params,
    ProposeHook,
    RunHook,
    UndoHook,
)
from plugins import modules_of, own_plugins, tell

HookT = TypeVar("HookT")


class ActionBuilder:
    """What `@action` leaves in the place of the function: it collects the hooks of one action.

    Once its module is imported it is complete, and `handler` gives the frozen action. The decorators hand each
    function back as it was.
    """

    def __init__(self, handler: ActionHandler) -> None:
        self._handler = handler

    @property
    def handler(self) -> ActionHandler:
        """Return the action with the hooks attached so far."""
        return self._handler

    def __call__(self, params: Params, context: ActionContext) -> Any:
        """Call the function itself, as if it were not decorated."""
        return self._handler.hooks.run(params, context)

    def capture(self, hook: CaptureHook) -> CaptureHook:
        """Attach the function that takes the state before the act."""
        return self._attach("capture", hook)

    def check(self, hook: CheckHook) -> CheckHook:
        """Attach the function that finds out after a crash whether the act happened."""
        return self._attach("check", hook)

    def undo(self, hook: UndoHook) -> UndoHook:
        """Attach the function that restores the captured state."""
        return self._attach("undo", hook)

    def propose(self, hook: ProposeHook) -> ProposeHook:
        """Attach the function that finds parameters which make sense now."""
        return self._attach("propose", hook)

    def drill(self, hook: DrillHook) -> DrillHook:
        """Attach the function that prepares a safe target to practise on."""
        return self._attach("drill", hook)

    def clear(self, hook: ClearHook) -> ClearHook:
        """Attach the function that clears away the target of a drill."""
        return self._attach("clear", hook)

    def holds(self, hook: HoldsHook) -> HoldsHook:
        """Attach the function that says which facts hold now, of those that actions provide and require."""
        return self._attach("holds", hook)

    def _attach(self, slot: str, hook: HookT) -> HookT:
        changed: dict[str, Any] = {slot: hook}
        hooks = replace(self._handler.hooks, **changed)
        self._handler = replace(self._handler, hooks=hooks)
        return hook


def action(
    *,
    name: str,
    summary: str = "",
    default_level: str = "approve",
    undo_permitted: Callable[[], bool] | None = None,
    undo_with: Callable[[Params], bool] | None = None,
    **meta: Any,
) -> Callable[[RunHook], ActionBuilder]:
    """Make an action of a function `run(params, context)`; `meta` are further fields of `ActionHandler`.

    `undo_permitted` tells whether this process has the permissions that undoing needs, `undo_with` whether it can be
    undone with the options that it is given. Raises TypeError for a field that there is not.
    """

    def decorate(run: RunHook) -> ActionBuilder:
        handler = ActionHandler(
            name=name,
            summary=summary or _first_line(run),
            hooks=Hooks(run=run, undo_permitted=undo_permitted, undo_with=undo_with),
            level=default_level,  # type: ignore[arg-type]
            source=_source_of(run),
            **meta,
        )
        return ActionBuilder(handler)

    return decorate


@dataclass(frozen=True)
class PlainRun:
    """A callable of the original interface, `(params, goal_id)`, or one that takes `(params, context)`."""

    function: Callable[..., Any]

    def __call__(self, params: Params, context: ActionContext) -> Any:
        """Call it with what its second parameter asks for; TypeError where it cannot take two arguments."""
        second: Any = context if _wants_context(self.function) else context.goal_id
        try:
            inspect.signature(self.function).bind(params, second)
        except ValueError:
            pass  # a builtin has no signature to look at: calling it is the only way to know
        except TypeError as error:
            raise TypeError(f"it cannot be called with (params, goal_id): {error}") from None
        return self.function(dict(params), second)


def from_callable(
    name: str,
    fn: Callable[..., Any] | ActionHandler | ActionBuilder,
    *,
    default_level: str = "approve",
    summary: str = "",
    hooks: Mapping[str, Callable[..., Any]] | None = None,
    **meta: Any,
) -> ActionHandler:
    """Make an action of any callable; what it raises or returns amiss becomes a failed result when it runs.

    `hooks` may name further functions (capture, check, undo, propose, drill, clear, holds). Raises TypeError where
    `fn` cannot be called at all.
    """
    if isinstance(fn, ActionBuilder):
        fn = fn.handler
    if isinstance(fn, ActionHandler):
        return replace(fn, name=name)
    if not callable(fn):
        raise TypeError(f"the handler of {name!r} is {type(fn).__name__}, which cannot be called")
    return ActionHandler(
        name=name,
        summary=summary or _first_line(fn) or name,
        hooks=Hooks(run=PlainRun(fn), **(hooks or {})),
        level=default_level,  # type: ignore[arg-type]
        **meta,
    )


ENTRY_POINTS = "foreact.actions"


def discover_actions(folder: Path | None = None, troubles: list[str] | None = None) -> dict[str, ActionHandler]:
    """Import every module of handlers/actions and return its actions by name; two of one name is a ValueError.

    With them come your own: those of files in `actions/` of the folder, and of installed packages that name them under
    the entry point group `foreact.actions`. One that cannot be used is left out and leaves a sentence in `troubles`.
    """
    handlers: dict[str, ActionHandler] = {}
    for module in modules_of("handlers.actions"):
        for value in vars(module).values():
            if not isinstance(value, ActionBuilder) or value.handler.source.partition(":")[0] != module.__name__:
                continue
            if value.handler.name in handlers:
                raise ValueError(f"two actions are called {value.handler.name!r}; the second is in {module.__name__}")
            handlers[value.handler.name] = value.handler
    for where, value in own_plugins(ActionBuilder, ENTRY_POINTS, folder and folder / "actions", troubles):
        name = value.handler.name
        if name in handlers:
            tell(f"{where} is left out: there is another action called {name!r}. Rename yours.", troubles)
            continue
        handlers[name] = replace(value.handler, source=_own_source(value.handler.source, where))
    return handlers


def _own_source(source: str, where: str) -> str:
    """Return where a child process finds an action: a file by its path, since no import finds it."""
    return f"{where}:{source.rpartition(':')[2]}" if where.endswith(".py") and source else source


def _first_line(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").strip().partition("\n")[0] if inspect.isroutine(function) else ""


def _source_of(function: Callable[..., Any]) -> str:
    qualname = getattr(function, "__qualname__", "<")
    module = getattr(function, "__module__", "__main__")
    return "" if module == "__main__" or "<" in qualname else f"{module}:{qualname}"


def _wants_context(function: Callable[..., Any]) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    if len(parameters) < 2:
        return False
    return parameters[1].name == "context" or "ActionContext" in str(parameters[1].annotation)
