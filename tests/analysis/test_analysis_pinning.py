"""What pinned memory gives, and what the pin thread takes from the step."""

import dataclasses
import types

import numpy as np
import pytest
from rows import config_of, made_up, measure
from synthetic import MS

from loaderscope.agent.layout import State
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.findings import find_all
from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.pin_thread import find_pin_cost
from loaderscope.analysis.training import Training
from loaderscope.facts.evidence import Signs
from loaderscope.trace import lane_table
from loaderscope.trace.model import Trace

STEPS = 40


def pin_cost(overlapped=lambda number: number % 2 == 0, cpu_ns=8 * MS, slow=1.5, unpickle_ns=0):
    """Steps of 10 ms that begin every 100 ms; those that a pin span of 8 ms overlaps take `slow` times as long."""
    trace = Trace()
    starts = np.arange(STEPS, dtype=np.int64) * 100 * MS
    meets = np.array([overlapped(number) for number in range(STEPS)])
    lengths = np.where(meets, round(10 * MS * slow), 10 * MS)
    steps = trace.track(lane_table.MAIN_LANE, 0)
    steps.append(start_ns=starts, end_ns=starts + lengths, state=[State.STEP] * STEPS, batch=np.arange(STEPS), value=[0] * STEPS)
    begins = np.where(meets, starts + 1 * MS, starts + 50 * MS) + unpickle_ns
    pins = trace.track(lane_table.PIN_LANE, 0)
    pins.append(start_ns=begins, end_ns=begins + 8 * MS, state=[State.PIN] * STEPS, batch=np.arange(STEPS), value=[cpu_ns] * STEPS)
    steady = types.SimpleNamespace(host_bounds_ns=[(0, STEPS * 100 * MS)])
    return find_pin_cost(trace, steady)


def find(trials, current=None):
    context = Context(trials, combine(trials, Training(10)), None, current, None, Training(10))
    return {finding.code: finding for finding in find_all(context)}


def test_the_pin_threads_time_within_steps_is_told_and_how_much_longer_they_take():
    cost = pin_cost()
    assert cost.step_share == pytest.approx(8 / 25)  # 8 ms in every other step, which are 15 and 10 ms long
    assert cost.slowdown == pytest.approx(1.5)


def test_a_pin_thread_that_waits_takes_nothing():
    assert pin_cost(cpu_ns=-1) is None  # its processor time is not known
    assert pin_cost(cpu_ns=1 * MS).step_share == pytest.approx(1 / 25)
    assert pin_cost(overlapped=lambda number: False).step_share == 0


def test_unpickling_before_the_span_counts_where_it_was():
    """4 ms of unpickling and 8 ms of copying, the latter after the step."""
    assert pin_cost(cpu_ns=12 * MS, unpickle_ns=14 * MS, slow=1.5).step_share == pytest.approx(4 / 25, rel=0.02)


def test_without_both_kinds_of_steps_no_slowdown_is_told():
    assert pin_cost(overlapped=lambda number: True).slowdown is None
    assert pin_cost(overlapped=lambda number: number < 9).slowdown is None


def test_signs_of_a_trial_tell_of_its_pin_thread():
    signs = measure(200, pin_ns=2 * MS, pin_cpu_ns=2 * MS, step_ns=5 * MS).signs
    assert 0 < signs.pin_step_share < 1
    assert measure(200).signs.pin_step_share is None


@pytest.mark.parametrize(
    ("share", "slowdown", "told"), [(0.3, 1.4, True), (0.05, 1.4, False), (0.3, 1.02, False), (0.3, None, False), (None, None, False)]
)
def test_the_lock_is_a_finding_only_where_it_matters(share, slowdown, told):
    signs = Signs(pin_step_share=share, pin_step_slowdown=slowdown)
    trial = made_up(0, config_of(2, pin_memory=True), 3200, signs=signs)
    found = find([trial]).get("pin-thread-in-step")
    assert (found is not None) == told
    if found is not None:
        assert found.severity == "warning"
        assert "1.4 times as long" in found.message and "GIL" in found.message
        assert find([trial, made_up(1, config_of(1), 100)], config_of(1))["pin-thread-in-step"].severity == "info"


def pair_of(pinned_rate, pageable_rate, half=10.0, pinned=True):
    on = made_up(0, config_of(2, pin_memory=True), pinned_rate, half, pinned=pinned, transfer_share=0.04)
    off = made_up(1, config_of(2), pageable_rate, half, pinned=False, transfer_share=0.12)
    return [on, off]


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ((3600, 3000), "Pinned memory is faster: with-the-setting gives 1.20 times"),
        ((2400, 3000), "Pinned memory is slower: with-the-setting gives 0.80 times"),
        ((3020, 3000), "Pinned and pageable memory are alike"),
    ],
)
def test_pinned_memory_is_compared_with_pageable(rates, words):
    found = find(pair_of(*rates))["pinned-memory"]
    assert words.split("with-the-setting")[0] in found.message and words.split("with-the-setting")[-1] in found.message
    assert "the transfer to the device takes 4 % of the time instead of 12 %" in found.message
    assert (found.severity, found.trials) == ("info", [0, 1])
    assert ("Leave pin_memory off" in found.advice) == (rates[0] < 2900)


def test_rates_whose_intervals_overlap_are_alike():
    assert "alike" in find(pair_of(3300, 3000, half=400))["pinned-memory"].message


def test_nothing_is_compared_where_nothing_was_pinned():
    assert "pinned-memory" not in find(pair_of(3600, 3000, pinned=False))
    on, off = pair_of(3600, 3000)
    assert "pinned-memory" not in find([on, dataclasses.replace(off, config=config_of(4))])
