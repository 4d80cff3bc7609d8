"""The table of consumers: it is whole, agrees with what the agent knows, and what is made from it agrees."""

import argparse
import dataclasses

import pytest

from loaderscope.agent import messages
from loaderscope.agent.messages import Consumer, TrialConfig, TrialOrder
from loaderscope.analysis.shares import accelerator_share
from loaderscope.facts.consumers import CONSUMERS, NOBODY, consumer_kind, consumer_text, kind_of
from loaderscope.facts.lanes import CPU_STEP
from loaderscope.facts.request import Request
from loaderscope.gui.panels.sweep_panel import SweepPanel
from loaderscope.sweep.options import consumer
from loaderscope.sweep.trial_run import step_lane

BY_KEY = pytest.mark.parametrize("kind", CONSUMERS, ids=lambda kind: kind.key)


def keys_where(wanted):
    return {kind.key for kind in CONSUMERS if wanted(kind)}


def test_the_agent_and_the_table_know_the_same_consumers():
    assert [kind.key for kind in CONSUMERS] == list(messages.CONSUMERS)
    assert keys_where(lambda kind: kind.is_timed) == set(messages.TIMED_CONSUMERS)
    assert keys_where(lambda kind: kind.may_use_device) == set(messages.DEVICE_CONSUMERS)


@BY_KEY
def test_an_option_takes_milliseconds_where_a_step_needs_some(kind):
    assert consumer(kind.option.replace("MS", "20")) == Consumer(kind.key, 20.0 if kind.is_timed else None)
    with pytest.raises(argparse.ArgumentTypeError, match="milliseconds"):
        consumer(kind.key if kind.is_timed else f"{kind.key}:20")


def test_a_refusal_names_all_that_can_be_asked_for():
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        consumer("eat")
    assert all(kind.option in str(refused.value) for kind in CONSUMERS)


@BY_KEY
def test_the_window_offers_what_there_is_by_the_words_of_the_report(kind, qtbot):
    panel = SweepPanel()
    qtbot.addWidget(panel)
    for has_step, has_accelerator in ((True, True), (False, True), (True, False)):
        panel.set_consumers(has_step, has_accelerator)
        at = panel.consumer.findData(kind.key)
        is_possible = not kind.is_training and (has_step or not kind.needs_step) and (has_accelerator or not kind.needs_accelerator)
        assert (at >= 0) == (is_possible and kind.offered_as is None)
        if at >= 0:
            panel.consumer.setCurrentIndex(at)
            chosen = panel.consumer_choice()
            assert (chosen.kind, chosen.ms is not None) == (kind.key, kind.is_timed)
            assert panel.consumer.itemText(at) == kind.title
            assert consumer_text(chosen).startswith(kind.title)
            assert panel.consumer_ms.isVisibleTo(panel) == kind.is_timed


@pytest.mark.parametrize("kind", [kind for kind in CONSUMERS if not kind.is_training], ids=lambda kind: kind.key)
def test_the_window_shows_the_consumer_of_a_session_before_it_knows_what_the_script_offers(kind, qtbot):
    panel = SweepPanel()
    qtbot.addWidget(panel)
    consumer = Consumer(kind.key, 7.0 if kind.is_timed else None)
    panel.show_request(Request("/x/train.py", consumer=consumer))
    assert panel.consumer_choice() == dataclasses.replace(consumer, kind=kind.offered_as or kind.key)


def test_a_kind_that_the_window_does_not_offer_has_a_like_one_that_it_offers():
    for kind in CONSUMERS:
        if kind.offered_as is not None:
            like = consumer_kind(kind.offered_as)
            assert dataclasses.replace(kind, key=like.key, title=like.title, tip=like.tip, offered_as=None) == like


def test_without_a_consumer_nobody_takes_the_batches():
    assert kind_of(None) is NOBODY
    assert consumer_text(None) == consumer_text(Consumer("none")) == NOBODY.title


@BY_KEY
def test_steps_on_a_device_are_not_drawn_as_steps_on_the_cpu(kind):
    def lane(device):
        return step_lane(TrialOrder(0, "", TrialConfig(0), consumer=Consumer(kind.key, 1.0), device=device))

    assert lane(None) is lane("cpu") is kind.lane
    assert lane("cuda:0") is (None if kind.lane is CPU_STEP else kind.lane)


@BY_KEY
def test_an_accelerator_is_told_of_for_simulated_steps_alone(kind, steady):
    assert (accelerator_share(steady, Consumer(kind.key, 1.0)) is not None) == kind.is_simulated


@pytest.fixture
def steady():
    """Ten batches in 20 ms."""

    class Steady:
        host_bounds_ns = ((0, 20_000_000),)
        batches = 10

    return Steady()
