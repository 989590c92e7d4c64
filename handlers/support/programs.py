"""Running a program as a list of words, never through a shell, with limits on time, memory and output."""

from __future__ import annotations

import os
import re
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from handlers.sandbox.terminate import end_tree

SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where a program is looked for by its name: what happens to be in this process's environment has no say."""

SHOWN_CHARS = 2_000
MEGABYTE = 1_000_000
_PLACEHOLDER = re.compile(r"\{(\w+)\}")

LAUNCH = """
import ctypes, os, resource, sys
memory, cpu_s, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
try:
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
except (OSError, AttributeError):
    pass
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
try:
    os.execv(program, sys.argv[4:])
except OSError as error:
    sys.stderr.write(f"{program} cannot be run: {error.strerror}")
    os._exit(127)
"""
"""Sets the limits in the process that then becomes the program, which adopts the orphans of all that it starts."""


@dataclass(frozen=True, kw_only=True)
class RunLimits:
    """What one run may use; all of it is counted together with what the program starts, but memory, which is each's."""

    timeout_s: float = 20.0
    memory_bytes: int = 1_000 * MEGABYTE
    output_bytes: int = MEGABYTE


@dataclass(frozen=True)
class Ran:
    """How a program ended: its exit code, the end of what it wrote, and the limit that it went past, if any."""

    exit_code: int
    output: str
    past: str = ""

    @property
    def is_good(self) -> bool:
        """Tell whether it ended by itself and with code 0."""
        return self.exit_code == 0 and not self.past

    @property
    def sentence(self) -> str:
        """Say how it ended, as the rest of a sentence that begins with its name."""
        if self.past:
            return f"was ended with everything it had started: {self.past}."
        if self.exit_code < 0:
            return f"was ended by signal {-self.exit_code}."
        return f"exited with code {self.exit_code}."


def found(program: str) -> str | None:
    """Return the path of a program that can be run, None where there is none."""
    return shutil.which(program, path=SEARCHED)


def filled(template: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Put values where a template says `{name}`, once: a value that looks like a placeholder stays as it is.

    Each word of the template stays one word. Raises ValueError for a name that has no value.
    """
    missing = sorted(placeholders(template) - values.keys())
    if missing:
        raise ValueError(f"no value is known for {', '.join('{' + name + '}' for name in missing)}")
    return [_PLACEHOLDER.sub(lambda match: values[match[1]], str(word)) for word in template]


def placeholders(template: Iterable[str]) -> set[str]:
    """Return the names that a template has placeholders for."""
    return {name for word in template for name in _PLACEHOLDER.findall(str(word))}


def run_program(
    argv: Sequence[str], limits: RunLimits, environment: Mapping[str, str] | None = None, folder: str | None = None
) -> Ran:
    """Run a program and wait for it; what it leaves running when it ends by itself runs on.

    It gets an empty input and no environment but a search path, the C locale and what is given.
    Raises FileNotFoundError where there is no such program.
    """
    program = found(argv[0])
    if program is None:
        raise FileNotFoundError(f"there is no program {argv[0]} that can be run")
    cpu_s = str(int(limits.timeout_s) + 1)
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", LAUNCH, str(limits.memory_bytes), cpu_s, program, *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": SEARCHED, "LANG": "C.UTF-8", **(environment or {})},
        cwd=folder,
        start_new_session=True,
    )
    with child:
        try:
            output, past = _held(child, limits)
        except BaseException:
            end_tree(child.pid)
            raise
        if past:
            end_tree(child.pid)
        return Ran(child.wait(), output.decode(errors="replace")[-SHOWN_CHARS:].strip(), past)


def _held(child: subprocess.Popen[bytes], limits: RunLimits) -> tuple[bytes, str]:
    """Read until the program has ended; returns the end of what it wrote and the limit that it went past, if any."""
    assert child.stdout is not None
    deadline_s, total, kept = time.monotonic() + limits.timeout_s, 0, bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return bytes(kept), f"it did not end within {limits.timeout_s:g} s"
            has_ended = child.poll() is not None
            ready = selector.select(0 if has_ended else min(left_s, 0.05)) if selector.get_map() else []
            chunk = os.read(child.stdout.fileno(), 65_536) if ready else b""
            if ready and not chunk:
                selector.unregister(child.stdout)
            total += len(chunk)
            kept = (kept + chunk)[-4 * SHOWN_CHARS :]
            if total > limits.output_bytes:
                return bytes(kept), f"it wrote more than {limits.output_bytes:,} bytes"
            if has_ended and not chunk:
                return bytes(kept), ""
            if not selector.get_map() and not has_ended:
                time.sleep(min(left_s, 0.02))
