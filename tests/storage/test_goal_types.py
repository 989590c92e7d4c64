"""Goal types are open: seven have names in the vocabulary, a rule may bring another, and all are stored alike."""

from __future__ import annotations

import copy
import pickle

import pytest
from pydantic import TypeAdapter, ValidationError

from storage.records import GoalType

GOAL_TYPE = TypeAdapter(GoalType)


def test_a_type_of_its_own_is_one_and_the_same_however_it_comes() -> None:
    noise = GoalType("LOG_NOISE")
    assert (noise, noise.value, noise.name, f"{noise}") == ("LOG_NOISE",) * 4
    read = (GoalType("LOG_NOISE"), GOAL_TYPE.validate_json('"LOG_NOISE"'), pickle.loads(pickle.dumps(noise)))
    assert all(each is noise for each in (*read, copy.deepcopy(noise)))
    assert GOAL_TYPE.dump_json(noise) == b'"LOG_NOISE"'


def test_a_type_of_its_own_is_none_of_those_that_are_named() -> None:
    GoalType("LOG_NOISE")
    assert len(list(GoalType)) == 7
    assert GoalType("SLA_MAINTENANCE") is GoalType.SLA_MAINTENANCE


@pytest.mark.parametrize("name", ["", "noise", "Noise", "A:B", "A B", "7UP", "NOISE\n", "N" * 61])
def test_what_is_no_name_in_capitals_is_no_type(name: str) -> None:
    with pytest.raises(ValueError, match="is not a valid GoalType"):
        GoalType(name)
    with pytest.raises(ValidationError):
        GOAL_TYPE.validate_python(name)


def test_the_schema_names_the_seven_as_examples_and_allows_others() -> None:
    schema = GOAL_TYPE.json_schema()
    assert "enum" not in schema
    assert schema["examples"] == [str(each) for each in GoalType]
