"""Finds out what must be known before the first trial: environment, target and one sample; makes the plan from these."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from loaderscope.agent.messages import Consumer, ErrorInfo
from loaderscope.facts.captured import captured_sentence, others_sentences
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.request import Request
from loaderscope.facts.run import Run
from loaderscope.facts.startup_results import SentPart
from loaderscope.sweep import machine_limits, space
from loaderscope.sweep.forecast import data_cost, facts_of
from loaderscope.sweep.inspect_script import machine_environment, probe_target
from loaderscope.sweep.kept_agent import KeptAgent
from loaderscope.sweep.machine import read_machine
from loaderscope.sweep.processes.agent_output import OutputLine
from loaderscope.sweep.processes.agent_process import Tick
from loaderscope.sweep.ready_agent import SweepError
from loaderscope.sweep.training_sweep import LOSSES_DIFFER, WHAT_A_TRIAL_DOES, check_training_sweep


def learn_target(
    request: Request, agent: KeptAgent, tick: Tick, log_output: Callable[[OutputLine], None], log: Callable[[str], None]
) -> tuple[Run, int | None]:
    """Returns the run as it starts, without controls, and the number of samples of its dataset, if that is known.

    An agent of its own reads the sample: no trial uses an agent that has touched the user's data.

    Args:
        request: what to run.
        agent: loads the script if the request asks for no probe.
        tick: called about every 0.1 s; an exception that it raises passes through.
        log_output: gets the output of the agent that reads the sample.
        log: gets our own sentences.

    Raises:
        SweepError: the request or the script is wrong, so that no trial can be started.
    """
    check_training_sweep(request)
    request = space.narrowed(request)
    sample: dict[str, Any] | None = None
    sent: list[SentPart] | None = None
    if request.probe:
        probe = probe_target(request, tick, log_output, weighs=True)
        environment, target, current, sample = probe.environment, probe.target, probe.current, probe.sample
        length, has_step, notes, sent = probe.length, probe.has_step, probe.notes, probe.sent
        torchrun_variables = probe.torchrun_variables
        for line in probe.log:
            log_output(line)
    else:
        loaded, attached = agent.load_first(request)
        environment = machine_environment(loaded.environment)
        target, current, length, has_step, notes = attached.target, attached.current, attached.length, loaded.has_step, attached.notes
        torchrun_variables = loaded.torchrun_variables
    request = dataclasses.replace(request, torchrun_variables=torchrun_variables)
    for note in (*environment.get("torch_assumptions", ()), *notes):
        log(note)
    if kind_of(request.consumer).is_training:
        log(WHAT_A_TRIAL_DOES)
        log(LOSSES_DIFFER)
    if target.captured is not None:
        log(f"Profiles {captured_sentence(target.captured)}.")
        for other in others_sentences(target.captured):
            log(f"Also met: {other}.")
    target = dataclasses.replace(target, current=target.current or current, length=length if length is not None else target.length)
    if length == 0:
        raise SweepError(ErrorInfo("unsupported", f"{target.name} is empty: it has no sample to load.", "", request.script, target.line))
    if kind_of(request.consumer).needs_step and not has_step:
        sentence = f"{request.script} has neither train_step(batch) nor make_train_step(), so there is no step of the script to run."
        raise SweepError(ErrorInfo("unsupported", sentence, "", request.script))
    request = dataclasses.replace(request, consumer=request.consumer or Consumer("script" if has_step else "none"))
    cost, machine = data_cost(sample, sent or ()), read_machine()
    plan = machine_limits.mark_limits(space.plan(request, target, facts_of(environment)), cost, machine, request.force)
    if (commit := machine_limits.commit_sentence(machine, cost)) is not None:
        log(commit)
    for sentence in machine_limits.pickle_warnings(sent or [], plan):
        log(sentence)
    return Run(request, environment, target, request.script, sample, plan, sent, created_unix_s=int(time.time())), length
