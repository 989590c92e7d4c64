"""What cannot be used in foreact.toml is refused with file, key and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from settings import load_settings
from storage import ForeactError

UNUSABLE = {
    "a misspelt key": ('[[objectives]]\nname = "a"\nmetric = "m"\nbund = 1', "objectives.0.bound"),
    "a bound that is no number": ('[[objectives]]\nname = "a"\nmetric = "m"\nbound = "much"', "objectives.0.bound"),
    "a bound that is infinite": ('[[objectives]]\nname = "a"\nmetric = "m"\nbound = inf', "objectives.0.bound"),
    "a severity above one": ('[[objectives]]\nname = "a"\nmetric = "m"\nbound = 1\nseverity = 2', "severity"),
    "a target that nothing can miss": (
        '[[objectives]]\nname = "a"\nmetric = "m"\nbound = 1\nkind = "slo"\ntarget_ratio = 1.0',
        "objectives.0.target_ratio",
    ),
    "two of one name": ('[[objectives]]\nname = "a"\nmetric = "m"\nbound = 1\n' * 2, "objectives"),
    "a rate limit that is none": ('[executor]\nrate_limits = ["3/fortnight"]', "executor.rate_limits.0"),
    "a rule of the state that is none": ('[forecasting]\nstate_rule = "most"', "forecasting.state_rule"),
    "a severity of alerts that there is not": ('[alerts]\nminimum_severity = "loud"', "alerts.minimum_severity"),
    "a type of goal that no rule sets": ('[actions.scale]\ngoal_types = ["SPEED"]', "actions.scale.goal_types.0"),
    "no TOML": ("[executor", "foreact.toml"),
}


@pytest.mark.parametrize(("text", "key"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_cannot_be_used_is_refused_with_file_key_and_remedy(tmp_path: Path, text: str, key: str) -> None:
    (tmp_path / "foreact.toml").write_text(text)
    with pytest.raises(ForeactError) as caught:
        load_settings(tmp_path)
    assert caught.value.code == "configuration_invalid"
    assert str(tmp_path / "foreact.toml") in caught.value.message
    assert key in caught.value.message
    assert "Correct" in caught.value.remedy


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("FOREACT_SERVER__PORT", "abc", "server.port"),
        ("foreact_server__port", "abc", "server.port"),
        ("FOREACT_AGENT__TYPO", "1", "there is no such key"),
        ("FOREACT_AGENT", '{"seed": "x"}', "agent.seed"),
        ("FOREACT_OBJECTIVES", '[{"name": "x"}]', "objectives.0.metric"),
        ("FOREACT_OBJECTIVES", "[bad", "not valid JSON"),
        ("FOREACT_EXECUTOR__RATE_LIMITS", "3/hour", "not valid JSON"),
    ],
)
def test_what_cannot_be_used_in_the_environment_is_blamed_on_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, said: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ForeactError) as caught:
        load_settings(tmp_path)
    assert caught.value.code == "configuration_invalid"
    assert f"The environment variable {variable}" in caught.value.message
    assert said in caught.value.message
    assert "foreact.toml:" not in caught.value.message


def test_a_variable_beside_the_wrong_key_is_not_blamed_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREACT_AGENT", '{"seed": 1}')
    (tmp_path / "foreact.toml").write_text("[agent]\ntypo = 1\n")
    with pytest.raises(ForeactError, match=r"foreact\.toml: agent\.typo: there is no such key"):
        load_settings(tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"forecasting": {"typo": 1}}, "What was given as forecasting.typo: there is no such key"),
        ({"executor": {"rate_limits": ["often"]}}, "What was given as executor.rate_limits.0: this is no rate limit"),
    ],
)
def test_what_cannot_be_used_of_the_arguments_is_not_blamed_on_the_file(
    tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ForeactError) as caught:
        load_settings(tmp_path, **given)
    assert caught.value.message.startswith(said)


def test_an_objective_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    good = '[[objectives]]\nname = "fine"\nmetric = "m"\nbound = 1\n'
    (tmp_path / "foreact.toml").write_text(good + '[[objectives]]\nname = "cpu"\nmetric = "m"\nbound = "much"')
    with pytest.raises(ForeactError, match=r"objectives\.1\.bound \(of cpu\)"):
        load_settings(tmp_path)
