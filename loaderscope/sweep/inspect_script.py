"""Finds out what a script offers, by agents that are closed afterwards."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from loaderscope.agent.messages import CapturedLoader, Target, TrialConfig
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.request import Request
from loaderscope.facts.startup_results import SentPart
from loaderscope.sweep.machine import read_machine
from loaderscope.sweep.processes.agent_output import OutputLine
from loaderscope.sweep.processes.agent_process import AgentProcess, Tick
from loaderscope.sweep.ready_agent import (
    CAPTURED,
    Approach,
    Attached,
    Loaded,
    NotReachedError,
    SampleError,
    SweepError,
    attach,
    load,
    look_at_all,
    probe,
    reach,
    start_agent,
    weigh,
)
from loaderscope.sweep.target_choice import NAMED, choose_target, needs_look
from loaderscope.telemetry.nvml import Nvml
from loaderscope.telemetry.processes import process_memory

__all__ = ["Inspection", "SweepError", "TargetProbe", "inspect_script", "machine_environment", "probe_target"]


@dataclasses.dataclass(frozen=True)
class Inspection:
    """The targets of a script, and sentences on how it runs. `environment`: the `environment` of the JSON document."""

    targets: list[Target]
    has_step: bool
    environment: dict[str, Any]
    log: list[OutputLine]
    torchrun_variables: bool = False  # whether the script got them
    notes: list[str] = dataclasses.field(default_factory=list)
    looked_at: CapturedLoader | None = None  # the loaders that the script iterates, if the request asks for a look


@dataclasses.dataclass(frozen=True)
class TargetProbe:
    """A target that was made ready, and one of its samples; no sample if the dataset raised, which it may do in the main process only."""

    target: Target
    length: int | None  # samples
    current: TrialConfig | None
    sample: dict[str, Any] | None  # its structure, see agent/samples.py; `seconds`: the time to read it
    environment: dict[str, Any]
    has_step: bool
    notes: list[str]
    log: list[OutputLine]
    sent: list[SentPart] | None = None  # the parts of the dataset that each worker is sent
    torchrun_variables: bool = False  # whether the script got them


def inspect_script(request: Request, tick: Tick | None = None, log: Callable[[OutputLine], None] | None = None) -> Inspection:
    """Lists the targets in `request.script`.

    Args:
        request: only the script, its arguments and the interpreter matter, not the axes.
        tick: called about every 0.1 s; an exception that it raises ends the inspection at once.
        log: gets the output if an error occurs.

    Raises:
        SweepError: the script or the interpreter is wrong.
    """
    return reach(Approach(request), lambda approach: _inspect(approach.request, tick, log))


def _inspect(request: Request, tick: Tick | None, log: Callable[[OutputLine], None] | None) -> Inspection:
    with _temporary_agent(request, tick, log) as agent:
        loaded = load(agent, request, tick)
        agent.close()
        environment = machine_environment(loaded.environment)
        lines = agent.drain_output()
    looked_at = None
    if request.look_s is not None:
        with _temporary_agent(request, tick, log) as agent:
            looked_at = look_at_all(agent, request, tick)
            lines += agent.drain_output()
    return Inspection(loaded.targets, loaded.has_step, environment, lines, loaded.torchrun_variables, loaded.notes, looked_at)


def probe_target(
    request: Request,
    tick: Tick | None = None,
    log: Callable[[OutputLine], None] | None = None,
    weighs: bool = False,
    looks: bool = False,
) -> TargetProbe:
    """Makes the request's target (or the only one) ready and reads one sample of it.

    Args:
        request: as for `inspect_script`, with the target.
        tick: as for `inspect_script`.
        log: as for `inspect_script`.
        weighs: whether to measure also what each worker is sent, which may take some seconds.
        looks: whether the target is the loader with which the script trains when it runs; the request then names none.

    Raises:
        SweepError: the script, the target or the interpreter is wrong, or the dataset has no sample or takes too long.
    """
    return reach(Approach(request, looks), lambda approach: _probe_target(approach, tick, log, weighs))


def _probe_target(approach: Approach, tick: Tick | None, log: Callable[[OutputLine], None] | None, weighs: bool) -> TargetProbe:
    request = approach.request
    with _temporary_agent(request, tick, log) as agent:
        loaded, attached = load_and_attach(agent, approach, tick)
        sample, notes = _read_sample(agent, request, attached, tick)
        sent = weigh(agent, request, tick) if weighs else None
        agent.close()
        environment = machine_environment(loaded.environment)
        lines = agent.drain_output()
    return TargetProbe(
        target=attached.target,
        length=attached.length,
        current=attached.current,
        sample=sample,
        environment=environment,
        has_step=loaded.has_step,
        notes=[*attached.notes, *notes],
        log=lines,
        sent=sent,
        torchrun_variables=loaded.torchrun_variables,
    )


def _read_sample(agent: AgentProcess, request: Request, attached: Attached, tick: Tick | None) -> tuple[dict[str, Any] | None, list[str]]:
    """Returns a sample, and notes; no sample if the dataset raises, because it may need a worker, or another setting."""
    try:
        return {**probe(agent, request, tick), **_memory_of(agent, attached.target)}, []
    except SampleError as error:
        return None, [f"One sample could not be read in the main process ({error}): the trials go on without its size."]


def load_and_attach(agent: AgentProcess, approach: Approach, tick: Tick | None = None) -> tuple[Loaded, Attached]:
    """Loads the script and makes the request's target, or the only one, ready.

    Raises:
        NotReachedError: the target is a loader that appears when the script runs, and this agent has not run it, or has run past it.
        SweepError: see `load`, `choose_target` and `attach`.
    """
    request = approach.request
    looks = approach.looks or (request.target is None and (request.look_s is not None or kind_of(request.consumer).is_training))
    loaded = load(agent, request, tick, looks)
    if looks:
        attached = attach(agent, request, loaded.targets[0].name, tick)
        return loaded, dataclasses.replace(attached, notes=[*loaded.notes, *attached.notes])
    target = choose_target(loaded.targets, request.target, request.arguments, request.script)
    if request.target is None and needs_look(target):
        raise NotReachedError(Approach(request, looks=True))
    attached = attach(agent, request, target.name, tick)
    if attached.target.captured is not None and request.target is not None:
        named = dataclasses.replace(attached.target.captured, why=", and ".join(filter(None, (NAMED, attached.target.captured.why))))
        choice = approach.choice or named
        attached = dataclasses.replace(attached, target=dataclasses.replace(attached.target, captured=choice))
    return loaded, dataclasses.replace(attached, notes=[*loaded.notes, *attached.notes])


_GPU_NODES = ("/dev/nvidiactl", "/dev/dxg")
"""The device files through which Linux programs reach an NVIDIA GPU; the second is WSL's."""


def machine_environment(agent_environment: dict[str, Any]) -> dict[str, Any]:
    """The `environment` of the JSON document: the agent's facts about its interpreter and our facts about the machine."""
    machine = read_machine()
    nvml = Nvml()
    try:
        gpus = [gpu.to_json() for gpu in nvml.gpus]
    finally:
        nvml.close()
    return {
        **agent_environment,
        "accelerator": _accelerator(agent_environment, bool(gpus)),
        "platform": platform.platform(),
        "cpu_count": machine.cpu_count,
        "usable_cpus": machine.usable_cpus,
        "memory_bytes": machine.memory_total_bytes,
        "gpus": gpus,
    }


def _accelerator(agent_environment: dict[str, Any], has_gpu: bool) -> bool | None:
    """Whether torch has an accelerator, by the agent's answer or else by the devices of this machine; None if neither shows it."""
    answer: bool | None = agent_environment.get("accelerator")
    if answer is not None:
        return answer
    if agent_environment.get("torch_cuda") is not None:
        # NVML is missing on Jetson's older drivers, and in containers that got only the driver's part for computing
        may_be = platform.machine() == "aarch64" or any(os.path.exists(node) for node in _GPU_NODES)
        return has_gpu or (None if may_be else False)
    return None


def _memory_of(agent: AgentProcess, target: Target) -> dict[str, int | None]:
    """`main_bytes` and `worker_bytes` of `DataCost`, measured at an agent that has loaded the script and read a sample."""
    try:
        memory = process_memory(psutil.Process(agent.pid))
    except (psutil.Error, OSError):  # the defaults of `machine_limits` apply
        return {}
    main = memory.get("pss", memory.get("commit", memory["uss"]))
    # the agent of a captured loader has also run the main block, with the model in it; no worker does that
    worker = None if target.name.startswith(CAPTURED) else memory.get("commit", memory["uss"])
    return {"main_bytes": main, "worker_bytes": worker}


@contextmanager
def _temporary_agent(request: Request, tick: Tick | None, log: Callable[[OutputLine], None] | None = None) -> Iterator[AgentProcess]:
    agent = start_agent(request, tick)
    try:
        yield agent
    finally:
        agent.close(at_once=True)
        if log is not None:
            for line in agent.drain_output():
                log(line)
