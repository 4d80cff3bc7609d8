"""The table of settings: it is whole, and what is made from it agrees."""

import argparse
import dataclasses

import pytest

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.request import Axes
from loaderscope.facts.settings import (
    BY_FIELD,
    SETTINGS,
    SWEEP_ORDER,
    normalise,
    same_but,
    setting_text,
    varying_fields,
    with_torch_defaults,
)

NO_SETTINGS = {"forkserver_preload"}
"""Fields of TrialConfig that belong to another setting."""


def test_trials_axes_and_the_table_have_the_same_fields():
    fields = [setting.field for setting in SETTINGS]
    assert set(fields) == {field.name for field in dataclasses.fields(TrialConfig)} - NO_SETTINGS
    assert set(fields) == {field.name for field in dataclasses.fields(Axes)} == set(SWEEP_ORDER)
    assert len(fields) == len(set(fields)) == len(SWEEP_ORDER)
    assert {setting.field: setting.default for setting in SETTINGS} == dataclasses.asdict(Axes())


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.field)
def test_every_value_that_is_offered_can_be_given_on_the_command_line(setting):
    texts = {True: "on", False: "off", None: "own"}
    for value in (*setting.offered, *(setting.default or ())):
        assert setting.parse(texts[value] if value is None or isinstance(value, bool) else str(value)) == value
    with pytest.raises(argparse.ArgumentTypeError):
        setting.parse("nonsense")


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (TrialConfig(4, 64, 2, persistent_workers=True, start_method="spawn", in_order=True, backend="process"),
         "4 workers · spawn · batch 64 · persistent"),
        (TrialConfig(1, 32, 4, True, False, "forkserver", False, "process", ("torch",)),
         "1 worker · forkserver + preload · batch 32 · prefetch 4 · pinned · any order"),
        (TrialConfig(2, 8, 2, backend="thread"), "2 workers · batch 8 · threads"),
        (TrialConfig(0, None), "0 workers"),
    ],
)  # fmt: skip
def test_a_setting_in_words(config, text):
    assert setting_text(config) == text


def test_what_means_nothing_without_workers_is_dropped():
    config = TrialConfig(0, 32, 4, True, True, "spawn", False, "process", ("torch",))
    assert normalise(config) == TrialConfig(0, 32, pin_memory=True)
    assert all(setting.of(normalise(config)) is None for setting in SETTINGS if setting.needs_workers)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.field)
def test_a_difference_in_any_other_field_counts(setting):
    base = TrialConfig(2, 32, 2, False, False, "fork", True, "process")
    other = dataclasses.replace(
        base, **{setting.field: {"num_workers": 4, "batch_size": 64, "prefetch_factor": 4}.get(setting.field, "other")}
    )
    assert same_but(setting.field, base, other)
    assert not same_but(next(one.field for one in SETTINGS if one is not setting), base, other)
    assert varying_fields([base, other]) == {setting.field}


def test_what_the_script_has_itself_is_a_value_like_any_other_where_it_means_something():
    own, one = TrialConfig(0, 32), TrialConfig(0, 32, threads=1)
    assert varying_fields([own, one]) == {"threads"}
    assert varying_fields([own, TrialConfig(2, 32, sharing_strategy="file_system")]) == {"num_workers"}
    assert setting_text(one) == "0 workers · batch 32 · 1 thread in main"


def test_settings_without_workers_differ_only_in_what_means_something_there():
    base, alone = TrialConfig(2, 32, 4, False, True, "spawn", False, "process"), TrialConfig(0, 32)
    assert same_but("num_workers", base, alone)
    assert not same_but("num_workers", base, dataclasses.replace(alone, batch_size=64))


def test_a_setting_that_is_given_in_part_has_torchs_defaults():
    assert with_torch_defaults({"num_workers": 2}) == TrialConfig(2, None, 2, False, False, None, True, "process")
    assert with_torch_defaults({"pin_memory": True}) == TrialConfig(pin_memory=True)


def test_axes_take_defaults_where_nothing_is_asked_for():
    assert Axes.of({"num_workers": (1,), "prefetch_factor": None}) == Axes(num_workers=(1,))
    assert BY_FIELD["prefetch_factor"].default == Axes().prefetch_factor
