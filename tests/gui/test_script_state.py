"""The stages of the look at a script: what is known in each, and which comes after which."""

import pytest

from loaderscope.agent.messages import Target
from loaderscope.facts.request import Request
from loaderscope.gui.window.script_state import ScriptState, Stage
from loaderscope.sweep.inspect_script import Inspection, TargetProbe

REQUEST = Request("train.py", target="loader")
TARGET = Target("loader", "loader", "DataLoader", "variable")


def inspection() -> Inspection:
    return Inspection([TARGET], False, {"python": "3.11"}, [])


def probe() -> TargetProbe:
    return TargetProbe(TARGET, 10, None, {}, {"python": "3.11", "gpus": []}, False, [], [])


@pytest.fixture
def read() -> ScriptState:
    return ScriptState().with_request(REQUEST).reading(REQUEST).read(inspection())


def test_a_script_is_read_then_its_target_probed(read):
    assert ScriptState().problem and ScriptState().with_request(REQUEST).reading(REQUEST).is_looking
    assert read.stage is Stage.READ and not read.problem and read.environment == {"python": "3.11"}
    probed = read.probing().probed(probe())
    assert read.probing().is_looking and probed.stage is Stage.PROBED and not probed.is_looking
    assert probed.environment == {"python": "3.11", "gpus": []}


def test_a_saved_session_has_a_script_that_must_be_read_first():
    saved = ScriptState().session_shown(REQUEST, "loader")
    assert "Read train.py again" in saved.problem and not saved.has_targets and not saved.is_looking
    assert ScriptState().session_shown(None, "loader").script == ""


def test_a_look_that_fails_leaves_what_was_known_before_it(read):
    assert read.reading(REQUEST).failed() == ScriptState(Stage.READ, REQUEST, "loader")
    assert read.probing().failed() == read


def test_reading_again_forgets_what_was_known(read):
    again = read.probing().probed(probe()).reading(REQUEST)
    assert again.inspection is None and again.probe is None and again.wanted_target == "loader"
