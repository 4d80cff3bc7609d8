"""The trackers that a script may use."""

import pytest

from loaderscope.facts.trackers import TRACKERS, imported_modules, is_offline_switch, trackers_of


def test_a_script_shows_its_trackers_by_what_it_imports_anywhere():
    source = "import os\ndef main():\n    from wandb.sdk import init\n    import mlflow.pytorch as m\nfrom . import comet_ml\n"
    assert imported_modules(source) == {"os", "wandb", "mlflow"}
    assert [tracker.variable for tracker in trackers_of(imported_modules(source))] == ["WANDB_MODE", "MLFLOW_TRACKING_URI"]


@pytest.mark.parametrize("source", ["def (", "\0", "if True:\nx"])
def test_a_source_that_is_no_python_shows_none(source):
    assert imported_modules(source) == set()


def test_no_two_trackers_share_a_variable_or_a_module():
    modules = [module for tracker in TRACKERS for module in tracker.modules]
    assert len(set(modules)) == len(modules)
    assert len({tracker.variable for tracker in TRACKERS}) == len(TRACKERS)


def test_only_the_value_that_keeps_a_tracker_offline_is_a_switch():
    assert is_offline_switch("WANDB_MODE", "offline")
    assert not is_offline_switch("WANDB_MODE", "online")
    assert not is_offline_switch("WANDB_API_KEY", "offline")


def test_what_would_keep_a_script_from_its_downloads_is_not_suggested():
    assert [tracker.variable for tracker in TRACKERS if not tracker.is_suggested] == ["HF_HUB_OFFLINE"]
