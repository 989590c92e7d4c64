"""The report of trust names the tests it runs, and takes no silence for good news."""

from __future__ import annotations

import json

import pytest

from benchmarks.trust import LOAD, TESTED, TrustPart, faults, judged, load, security_tests, unsent, with_skipped
from tests import PROJECT


def test_every_test_of_access_is_found_and_there() -> None:
    found = security_tests()
    assert {"tests/api/test_access.py", "tests/storage/test_private.py", "tests/storage/test_audit.py"} <= set(found)
    named = [each for arguments in TESTED.values() for each in arguments if each.startswith("tests/")]
    assert [place for place in (*found, *named) if not (PROJECT / place).exists()] == []


UNREAD = '{"dependencies": [{"name": "b", "skip_reason": "Dependency not found on PyPI"}]}'


@pytest.mark.parametrize(
    ("said", "verdict", "words"),
    [
        ("", "skipped", "Max retries"),
        (
            '{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}',
            "holds",
            "1 of 1 packages looked up, 0 known",
        ),
        (UNREAD, "skipped", "0 of 1 packages looked up"),
        (UNREAD.replace("]}", ', {"name": "a", "version": "1", "vulns": []}]}'), "holds in part", "1 of 2 packages"),
        (
            json.dumps(
                {"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}]}
            ),
            "TROUBLE",
            "a 1: X-1, mended in 2",
        ),
    ],
)
def test_without_advisories_the_dependencies_count_as_not_looked_at(said: str, verdict: str, words: str) -> None:
    part = judged("p", said, "trace\nMax retries exceeded", 1.0)
    assert part.verdict == verdict
    assert words in " ".join(part.lines)


TESTS_SAID = """..ss.                                                       [100%]
SKIPPED [2] tests/e2e/test_foreign_page.py:38: there is no Chromium here
3 passed, 2 skipped in 4.02s"""
TABLE_SAID = """fault                                           rounds  checked  result
kill -9: acts                                       10       12  holds
folder read-only, then not                           1        0  skipped: root alone mounts file systems
seed 1, 9 s"""


@pytest.mark.parametrize(
    ("said", "what", "why"),
    [
        (TESTS_SAID, "2 tests in tests/e2e/test_foreign_page.py", "there is no Chromium here"),
        (TABLE_SAID, "folder read-only, then not", "root alone mounts file systems"),
    ],
)
def test_what_was_skipped_is_told_as_skipped_and_the_rest_holds_in_part(said: str, what: str, why: str) -> None:
    part = TrustPart("p", "holds", tuple(said.splitlines()))
    told, skipped = with_skipped(part, part.last(1))
    assert told == TrustPart("p", "holds in part", (said.splitlines()[-1],))
    assert skipped == TrustPart(f"p: {what}", "skipped", (why,))


def test_a_part_without_skips_holds_and_trouble_stays_trouble() -> None:
    (whole,) = with_skipped(TrustPart("p", "holds", ("5 passed",)), TrustPart("p", "holds"))
    broken, *_ = with_skipped(TrustPart("p", "TROUBLE", tuple(TESTS_SAID.splitlines())), TrustPart("p", "TROUBLE"))
    assert (whole.verdict, broken.verdict) == ("holds", "TROUBLE")


def test_requests_that_were_not_sent_are_counted() -> None:
    part = TrustPart("p", "holds", ("9,990 requests were sent to 40 addresses",))
    assert unsent(part, 9_990) == []
    assert [each.part for each in unsent(part, 10_000)] == ["10 of 10,000 requests"]
    assert [each.part for each in unsent(TrustPart("p", "TROUBLE"), 10_000)] == ["10,000 of 10,000 requests"]


@pytest.mark.parametrize("what", LOAD)
def test_every_bar_of_load_names_a_command_that_is_there(what: str) -> None:
    part, name = load(what, is_wanted=False), LOAD[what][0]
    assert part.verdict == "not tried"
    assert f"make bench-{name}" in part.lines[0]
    assert name in (PROJECT / "Makefile").read_text().partition("BENCHMARKS :=")[2].partition("\n")[0].split()


def test_faults_that_nobody_asked_for_are_told_as_not_tried() -> None:
    (part,) = faults(0)
    assert (part.verdict, part.lines) == ("not tried", ("no rounds were asked for: make chaos",))
