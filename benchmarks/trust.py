"""One report of the evidence that this can be trusted: `make trust`, or `python -m benchmarks.trust --rounds 10`.

It runs what can be run here: faults on purpose, the tests of who may do what, of any input and of backups, requests of
all kinds, the audit trail of the folder's own database, the size of the file; with `--load` also what takes hours. What
was skipped or not tried stands in the report with the reason; nothing is taken from an earlier run. Exit code 1 where
anything that was tried does not hold.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

PROJECT = Path(__file__).parents[1]
SECURITY_MODULES = re.compile(
    r"api\.(access|middleware|connections|processes\.prefect_server)\b|from api import access\b"
    r"|storage\.(private|audit)\b|tasks\.authority\b"
)
SECURITY_FILES = (
    "tests/e2e/test_foreign_page.py",
    "tests/api/dashboard/test_pages.py",
    "tests/cli/test_whose_stack.py",
)
"""Tests that look from outside, and so import nothing of what they are about."""
REQUESTS_FILE = "tests/api/test_any_request.py"
SHARDS_FILE = "tests/tasks/forecast/test_shards.py"
TESTED = {
    "any input: lists of samples, push formats, CSV, imported files, foreact.toml": (
        "tests/api/commands/test_ingest.py",
        "tests/api/commands/test_metric_columns.py",
        "tests/api/push",
        "tests/cli/test_history_file.py",
        "tests/handlers/sources/test_csv_file.py",
        "tests/test_any_input.py",
    ),
    "backup, restore, retention, memory of who owns the file": (
        "tests/storage/test_backup.py",
        "tests/storage/test_retention.py",
        "tests/storage/engine/test_memory.py",
    ),
    "equal results in threads and processes": (SHARDS_FILE, "-k", "not dask"),
}
"""Parts that tests show, each with what pytest is told to run."""
LOAD = {
    "lists and singles beside a bare echo, 20 readers during a cycle": ("api",),
    "a whole cycle on a running stack at 100, 1,000 and 10,000 series": ("stack", "--series", "100,1000,10000"),
    "60 minutes of pushing: memory, file, latency": ("endurance",),
    "a compressed month of cycles: memory, file, latency": ("endurance", "--cycles"),
}
"""What takes long and wants an idle machine, each with the benchmark that ends with 1 where a bar is missed."""
ELSEWHERE = {
    "the loop under real load of this machine": "it must be idle otherwise: make proof",
}
"""What no part of this report tries, each with the reason and the command that does."""
SLOWEST_S = 3 * 3_600
AUDIT_S, MOST_UNREAD = 600, 3
SKIPPED_TESTS = re.compile(r"^SKIPPED \[(\d+)\] (\S+?)(?::\d+)?: (.+)$", re.MULTILINE)
SKIPPED_ROW = re.compile(r"^(.+?) +[-\d]+ +[-\d]+  skipped: (.+)$", re.MULTILINE)
REQUESTS = re.compile(r"^([\d,]+) requests were sent to \d+ addresses", re.MULTILINE)


@dataclass(frozen=True)
class TrustPart:
    """What came of one part: its verdict, and the lines that say why."""

    part: str
    verdict: str
    lines: tuple[str, ...] = ()
    taken_s: float = 0.0

    def last(self, lines: int) -> TrustPart:
        """Return the part with its last lines alone."""
        return replace(self, lines=self.lines[-lines:])


def main() -> None:
    """Run every part and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="of kills; with 0 no fault is tried")
    parser.add_argument("--requests", type=int, default=10_000, help="of all kinds, to the REST interface")
    parser.add_argument("--days", type=int, default=30, help="of virtual time for the size of the file")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="whose audit trail is verified")
    parser.add_argument("--load", action="store_true", help="also measure what takes hours, on an idle machine")
    parser.add_argument("--only", choices=["dependencies"], help="look for known vulnerabilities alone")
    options = parser.parse_args()
    if options.only:
        finding = known_vulnerabilities()
        show(finding)
        sys.exit(finding.verdict == "TROUBLE")
    parts = [
        lambda: faults(options.rounds),
        lambda: who_may_do_what(),
        *(lambda what=what: tested(what, TESTED[what]) for what in TESTED),
        lambda: any_request(options.requests),
        lambda: [audit_trail(options.folder)],
        lambda: [ran("size of the file", benchmark("size", "--days", str(options.days))).last(3)],
        lambda: [two_machines()],
        lambda: [known_vulnerabilities()],
        lambda: [dask_cluster()],
        *(lambda what=what: [load(what, options.load)] for what in LOAD),
        lambda: [TrustPart(what, "not tried", (why,)) for what, why in ELSEWHERE.items()],
    ]
    findings: list[TrustPart] = []
    for part in parts:
        for finding in part():
            show(finding)
            findings.append(finding)
    print("\nin all: " + ", ".join(f"{count} {verdict}" for verdict, count in counted(findings).items()))
    sys.exit(any(finding.verdict == "TROUBLE" for finding in findings))


def python(*arguments: str) -> list[str]:
    """Return a command for this interpreter."""
    return [sys.executable, *arguments]


def benchmark(name: str, *arguments: str) -> list[str]:
    """Return the command of a benchmark."""
    return python("-m", f"benchmarks.{name}", *arguments)


def ran(part: str, command: list[str], environment: Mapping[str, str] | None = None) -> TrustPart:
    """Run a command; it holds where it ends with 0, and its lines say what was found."""
    begun_s = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=SLOWEST_S,
        )
    except subprocess.TimeoutExpired:
        return TrustPart(part, "TROUBLE", (f"it took longer than {SLOWEST_S} s",), time.monotonic() - begun_s)
    lines = (done.stdout if done.stdout.strip() else done.stderr).strip().splitlines()
    return TrustPart(part, "TROUBLE" if done.returncode else "holds", tuple(lines), time.monotonic() - begun_s)


def two_machines() -> TrustPart:
    """Run the stack on two machines; it says in its last line that it was skipped as such."""
    part = ran("store and worker on two machines", benchmark("two_machines")).last(10)
    is_skipped = part.verdict == "holds" and any(line.startswith("skipped: ") for line in part.lines)
    return replace(part, verdict="skipped") if is_skipped else part


def load(what: str, is_wanted: bool) -> TrustPart:
    """Measure a bar of load, or say by which command it is measured."""
    name, *arguments = LOAD[what]
    if is_wanted:
        return ran(what, benchmark(name, *arguments)).last(40)
    given = f' ARGS="{" ".join(arguments)}"' if arguments else ""
    return TrustPart(what, "not tried", (f"it takes long: make bench-{name}{given}, or all of them with --load",))


def faults(rounds: int) -> list[TrustPart]:
    """Break things on purpose; what this machine had to skip stands apart."""
    if not rounds:
        return [TrustPart("faults", "not tried", ("no rounds were asked for: make chaos",))]
    part = ran("faults", benchmark("chaos", "--rounds", str(rounds)))
    return with_skipped(part, part.last(25))


def with_skipped(part: TrustPart, told: TrustPart) -> list[TrustPart]:
    """Return a part as it is told, and what of it was skipped, each with its reason: with those it holds in part."""
    said = "\n".join(part.lines)
    tests = [(f"{count} tests in {file}", why) for count, file, why in SKIPPED_TESTS.findall(said)]
    skipped = [TrustPart(f"{part.part}: {what}", "skipped", (why,)) for what, why in SKIPPED_ROW.findall(said) + tests]
    verdict = "holds in part" if skipped and part.verdict == "holds" else part.verdict
    return [replace(told, verdict=verdict), *skipped]


def who_may_do_what() -> list[TrustPart]:
    """Run the tests of access, secrets and the audit trail."""
    files = security_tests()
    part, *skipped = tested("who may do what", files)
    return [replace(part, lines=(f"{len(files)} files: {', '.join(files)}", *part.lines)), *skipped]


def tested(what: str, arguments: Sequence[str]) -> list[TrustPart]:
    """Run tests; what they skipped stands apart."""
    part = ran(what, python("-m", "pytest", "-v", "-n0", "-rfEs", *arguments))
    return with_skipped(part, part.last(8))


def any_request(wanted: int) -> list[TrustPart]:
    """Send requests of all kinds, as `make requests` does."""
    command = python("-m", "pytest", "-v", "-n2", "--dist", "worksteal", "--timeout", "700", "-rfEs", REQUESTS_FILE)
    part = ran(f"{wanted:,} requests of all kinds", command, {"FOREACT_TEST_REQUESTS": str(wanted)})
    return [*with_skipped(part, part.last(4)), *unsent(part, wanted)]


def unsent(part: TrustPart, wanted: int) -> list[TrustPart]:
    """Say how many of the requests were not sent, where the tests say so or do not tell."""
    told = REQUESTS.search("\n".join(part.lines))
    missing = wanted - (int(told[1].replace(",", "")) if told else 0)
    if missing <= 0:
        return []
    return [TrustPart(f"{missing:,} of {wanted:,} requests", "not tried", ("a test failed or ran out of time",))]


def security_tests() -> list[str]:
    """Return the files of tests that import what decides on access, secrets and the audit trail, and those named."""
    found = {
        str(file.relative_to(PROJECT))
        for file in (PROJECT / "tests").rglob("test_*.py")
        if any(SECURITY_MODULES.search(line) for line in file.read_text().splitlines() if "import " in line)
    }
    return sorted(found.union(SECURITY_FILES))


def audit_trail(folder: Path) -> TrustPart:
    """Verify the audit trail of a folder's database, where it has one."""
    if not (folder / ".foreact" / "foreact.duckdb").exists():
        return TrustPart("audit trail", "skipped", (f"{folder} has no database yet; --folder names another",))
    command = python("-P", "-m", "cli.app", "-C", str(folder), "audit", "--verify", "--limit", "1")
    return ran("audit trail", command).last(5)


def known_vulnerabilities() -> TrustPart:
    """Compare the locked packages with the published advisories, where pip-audit is at hand and reaches them."""
    part, begun_s = "known vulnerabilities", time.monotonic()
    auditor = pip_audit()
    if auditor is None:
        return TrustPart(part, "skipped", ("neither pip-audit nor pipx, which fetches it, is installed here",))
    command = [*auditor, "-r", "requirements.lock", "--no-deps", "--disable-pip", "--format", "json", "--timeout", "15"]
    try:
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=AUDIT_S)
    except subprocess.TimeoutExpired:
        return TrustPart(part, "skipped", (f"the advisories were not read within {AUDIT_S} s",))
    return judged(part, done.stdout, done.stderr, time.monotonic() - begun_s)


def dask_cluster() -> TrustPart:
    """Hold a forecast and a whole cycle on a cluster of two workers against those without, where there is Dask."""
    part = "equal results on a two-worker Dask cluster"
    if importlib.util.find_spec("prefect_dask") is None:
        why = "prefect-dask is in no lock file: pip install prefect-dask, in a copy of .venv, and run this there"
        return TrustPart(part, "skipped", (why,))
    return ran(part, python("-m", "pytest", "-n0", SHARDS_FILE, "-k", "dask")).last(3)


def judged(part: str, said: str, complained: str, taken_s: float) -> TrustPart:
    """Say what came of pip-audit: without its report the advisories could not be had."""
    try:
        packages = json.loads(said)["dependencies"]
    except (ValueError, KeyError, TypeError):
        why = (complained.strip() or "no answer").splitlines()[-1]
        return TrustPart(part, "skipped", (f"the advisories cannot be had here: {why:.200}",), taken_s)
    holes = [
        f"{each['name']} {each['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'none yet'}"
        for each in packages
        for hole in each.get("vulns", ())
    ]
    unread = [f"{each['name']}: {each['skip_reason']}" for each in packages if "skip_reason" in each]
    told = (f"{len(packages) - len(unread)} of {len(packages)} packages looked up, {len(holes)} known holes", *holes)
    verdict = "skipped" if len(unread) == len(packages) else "holds in part" if unread else "holds"
    return TrustPart(part, "TROUBLE" if holes else verdict, (*told, *unread[:MOST_UNREAD]), taken_s)


def pip_audit() -> list[str] | None:
    """Return how pip-audit is called here; None where it cannot be."""
    if importlib.util.find_spec("pip_audit") is not None:
        return python("-m", "pip_audit")
    if (found := shutil.which("pip-audit")) is not None:
        return [found]
    return [pipx, "run", "pip-audit"] if (pipx := shutil.which("pipx")) else None


def counted(findings: list[TrustPart]) -> dict[str, int]:
    """Return how many parts came to each verdict."""
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.verdict] = counts.get(finding.verdict, 0) + 1
    return counts


def show(finding: TrustPart) -> None:
    """Print one part."""
    took = f" ({finding.taken_s:.0f} s)" if finding.taken_s else ""
    print(f"\n{finding.part}: {finding.verdict}{took}", flush=True)
    for line in finding.lines:
        print(f"    {line}", flush=True)


if __name__ == "__main__":
    main()
