"""Makes an agent ready: starts it, has it load the script, attaches the target, and asks about the dataset."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from loaderscope.agent.error_sentences import EXIT_STATUS, TORCHRUN_VARIABLES, UNSUPPORTED, WRONG_ARGUMENTS
from loaderscope.agent.messages import LOOK, LOOK_AT_ALL, CapturedLoader, ErrorInfo, SharedHandle, Target, TrialConfig, TrialOrder
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.request import Request
from loaderscope.facts.startup_results import SentPart
from loaderscope.sweep import torchrun
from loaderscope.sweep.processes.agent_environment import default_python
from loaderscope.sweep.processes.agent_process import (
    AgentDiedError,
    AgentError,
    AgentProcess,
    AgentTimeoutError,
    Tick,
)
from loaderscope.sweep.processes.script_children import ChildrenFoundError, ChildWatch, HeldChild, UnwatchedChildError

CAPTURED = "captured:"

_KINDS_WITH_OUTPUT = ("SystemExit", "CalledProcessError", UNSUPPORTED)
"""Kinds of errors whose reason may be in the output of the script, or of a process that it started."""

_FRAME = " \t│┃|╭╮╰╯─━"
"""Characters that libraries such as rich draw around the words of an error."""

_NO_TRIAL_KINDS = (UNSUPPORTED, "agent-died", "hung")
"""Kinds of errors that a worker would meet, too: there is no sample, the process dies of it, or it takes too long."""

IN_TRAINING_VARIABLE = "LOADERSCOPE"
"""It is 1 in the environment of a script whose training is run for a sweep, so that the script can write elsewhere, or log nothing."""

WEIGH_TIMEOUT_S = 15.0
"""More than the agent itself takes: it stops to weigh after some seconds, unless the user's code holds the interpreter."""

Reached = TypeVar("Reached")


class SweepError(Exception):
    """The request or the script is wrong, so that no trial can run.

    Attributes:
        info: says in one sentence what is wrong.
        output: the last lines that the script printed, if they may show the reason.
    """

    def __init__(self, info: ErrorInfo, output: str = "") -> None:
        super().__init__(info.message)
        self.info = info
        self.output = output


class AsksForTorchrunError(SweepError):
    """The script fails without the variables of torchrun. `request`: the same request with them, so that it runs."""

    def __init__(self, info: ErrorInfo, request: Request) -> None:
        super().__init__(info)
        self.request = request


class SampleError(SweepError):
    """The dataset raised when a sample of it was read in the main process."""


@dataclasses.dataclass(frozen=True)
class Approach:
    """How an agent gets to the target.

    Attributes:
        request: names the target, or None for the app's choice.
        looks: whether the script runs until it iterates the loader with which it trains.
        choice: why an agent before this one chose the request's target; None if the user did.
    """

    request: Request
    looks: bool = False
    choice: CapturedLoader | None = None


class NotReachedError(Exception):
    """This agent cannot reach the target. `approach`: how a fresh one can."""

    def __init__(self, approach: Approach) -> None:
        super().__init__(approach.request.target)
        self.approach = approach


@dataclasses.dataclass(frozen=True)
class Loaded:
    """The targets of a script that was loaded.

    Attributes:
        notes: sentences on how the script runs.
        has_step: whether the script has a training step.
        environment: of the interpreter, see agent/messages.py; `script_imports` in it are the modules that the script imported.
        torchrun_variables: whether it got the variables of torchrun.
    """

    targets: list[Target]
    notes: list[str]
    has_step: bool
    environment: dict[str, Any]
    torchrun_variables: bool = False


@dataclasses.dataclass(frozen=True)
class Attached:
    """A target that trials can use.

    Attributes:
        fingerprint: of the dataset before any trial.
        number_in_constructors: how many loaders before this one were iterated by their own constructors; None if this one was not.
        handles: what the dataset holds open, which forked workers share.
    """

    target: Target
    length: int | None
    current: TrialConfig | None
    fingerprint: str | None
    notes: list[str]
    number_in_constructors: int | None = None
    handles: list[SharedHandle] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class InConstructor:
    """A trial of the training that begins in the constructor of its loader, which starts the workers. `number`: see `Attached`."""

    number: int
    order: TrialOrder


def reach(approach: Approach, attempt: Callable[[Approach], Reached]) -> Reached:
    """Returns the result of the first attempt whose approach leads to the target.

    Args:
        approach: the first one.
        attempt: called with a new approach whenever it raises AsksForTorchrunError or NotReachedError; starts a fresh agent each time.
    """
    while True:
        try:
            return attempt(approach)
        except AsksForTorchrunError as again:
            approach = dataclasses.replace(approach, request=again.request)
        except NotReachedError as unreached:
            approach = unreached.approach


def start_agent(request: Request, tick: Tick | None = None) -> AgentProcess:
    """Starts an agent in the interpreter that the request names.

    Raises:
        SweepError: there is no working folder or no interpreter, or it cannot be started.
    """
    if request.cwd is not None and not os.path.isdir(request.cwd):
        raise SweepError(ErrorInfo("FileNotFoundError", f"There is no folder {request.cwd} in which {request.script} could run (--cwd)."))
    python = request.python or default_python()
    if python is None:
        raise SweepError(ErrorInfo("unsupported", "This is a bundled app, which is no Python itself: choose an interpreter (--python)."))
    try:
        return AgentProcess(python, request.cwd, tick, request.load_timeout_s, _variables(request))
    except AgentError as error:
        raise SweepError(error_info(error)) from error


def load(
    agent: AgentProcess, request: Request, tick: Tick | None = None, looks: bool = False, in_constructor: InConstructor | None = None
) -> Loaded:
    """Has the agent load the script. If the script iterates its loader in a child, that child is the agent from then on.

    Args:
        agent: has loaded nothing yet.
        request: the script and its arguments; a target `captured:N` makes the script run up to that loader.
        tick: called about every 0.1 s.
        looks: whether the script runs until it iterates the loader with which it trains.
        in_constructor: the trial that begins while the script runs; None: none does.

    Raises:
        AsksForTorchrunError: it needs variables of torchrun that are not set.
        NotReachedError: the script went past the loader that was chosen.
        SweepError: the script raises, ends itself, takes too long, or iterates its loader in several children.
    """
    message = _load_message(request, looks)
    if in_constructor is not None:
        message |= {"trial": in_constructor.order.to_json(), "number_in_constructors": in_constructor.number}
    answer = _load_or_find_child(agent, request, message, tick)
    if answer["type"] == "again":
        if answer["captured"] is None:
            sentence = f"{request.script} has iterated no DataLoader in {request.look_s:g} s (--look)."
            raise SweepError(ErrorInfo("unsupported", sentence, agent.output_tail(), request.script))
        choice = CapturedLoader.from_json(answer["captured"])
        raise NotReachedError(Approach(dataclasses.replace(request, target=f"{CAPTURED}{choice.number}"), choice=choice))
    answer = _checked(agent, request, answer, "loaded")
    targets = [Target.from_json(target) for target in answer["targets"]]
    environment = {**(answer.get("environment") or {}), "script_imports": answer.get("imports") or []}
    notes = [*_torchrun_notes(request.torchrun_variables), *(str(note) for note in answer.get("notes") or ())]
    return Loaded(targets, notes, bool(answer.get("has_step")), environment, request.torchrun_variables)


def look_at_all(agent: AgentProcess, request: Request, tick: Tick | None = None) -> CapturedLoader | None:
    """Runs the script for `request.look_s` seconds, or until it trains or iterates a loader in a child.

    Returns:
        All loaders that it iterated, and the one that fits best; None if it iterated none.

    Raises:
        SweepError: see `load`.
    """
    answer = _load_or_find_child(agent, request, _load_message(request, looks=True), tick)
    if answer["type"] == "again":
        return None if answer["captured"] is None else CapturedLoader.from_json(answer["captured"])
    targets = [Target.from_json(target) for target in _checked(agent, request, answer, "loaded")["targets"]]
    return targets[0].captured


def _load_message(request: Request, looks: bool) -> dict[str, Any]:
    number = request.target.removeprefix(CAPTURED) if request.target is not None and request.target.startswith(CAPTURED) else ""
    look = LOOK if request.look_s is None else LOOK_AT_ALL
    return {
        "type": "load",
        "script": request.script,
        "module": request.module,
        "args": list(request.script_args),
        "cwd": request.cwd,
        "capture": look if looks else int(number) if number.isdigit() else None,
        "arguments": dict(request.arguments),
    }


def attach(agent: AgentProcess, request: Request, name: str, tick: Tick | None = None) -> Attached:
    """Has the agent make the target ready.

    Raises:
        AsksForTorchrunError: see `load`.
        SweepError: there is no such target, or the code that makes it raises.
    """
    message = {"type": "attach", "target": name, "arguments": dict(request.arguments)}
    answer = _request(agent, message, "attached", request, tick, f"{name} was not ready")
    current = answer.get("current")
    return Attached(
        target=Target.from_json(answer["target"]),
        length=answer.get("length"),
        current=TrialConfig.from_json(current) if current is not None else None,
        fingerprint=answer.get("fingerprint"),
        notes=[str(note) for note in answer.get("notes") or ()],
        number_in_constructors=answer.get("number_in_constructors"),
        handles=[SharedHandle.from_json(handle) for handle in answer.get("handles") or ()],
    )


def probe(agent: AgentProcess, request: Request, tick: Tick | None = None) -> dict[str, Any]:
    """Has the agent read one sample; returns its structure and, as `seconds`, the time to read it. The agent must not run trials then.

    Raises:
        SampleError: the dataset raises.
        SweepError: it has no sample, or takes too long.
    """
    try:
        answer = _request(agent, {"type": "probe"}, "probed", request, tick, "the first sample was not read")
    except AsksForTorchrunError:
        raise
    except SweepError as error:
        if error.info.kind in _NO_TRIAL_KINDS:
            raise
        raise SampleError(error.info) from error
    return {**(answer.get("sample") or {}), "seconds": answer.get("seconds")}


def weigh(agent: AgentProcess, request: Request, tick: Tick | None = None) -> list[SentPart] | None:
    """Has the agent measure the parts of the dataset that each worker is sent; None if that fails, because a run can do without.

    The agent must not run trials then.
    """
    hurried = dataclasses.replace(request, load_timeout_s=min(request.load_timeout_s, WEIGH_TIMEOUT_S))
    try:
        answer = _request(agent, {"type": "weigh"}, "weighed", hurried, tick, "what workers are sent was not weighed")
        return msgspec.convert(answer.get("parts") or [], list[SentPart])
    except (SweepError, msgspec.ValidationError):
        return None


def _torchrun_notes(has_variables: bool) -> list[str]:
    """The notes about the variables of torchrun that a script got."""
    return [torchrun.NOTE] if has_variables else []


def error_info(error: AgentError) -> ErrorInfo:
    """The description of an agent's failure for the user."""
    if isinstance(error, AgentDiedError):
        return ErrorInfo("agent-died", f"{error}.", error.tail, cause=error.cause)
    if isinstance(error, AgentTimeoutError):
        return ErrorInfo("hung", f"{error}.")
    return ErrorInfo("agent-died", f"{error}.")


def _variables(request: Request) -> dict[str, str]:
    """The environment variables that the script gets besides those of this process; the user's own replace those of torchrun."""
    given = request.environment_variables
    if kind_of(request.consumer).is_training:
        given = {IN_TRAINING_VARIABLE: "1", **given}
    return {**torchrun.variables({**os.environ, **given}), **given} if request.torchrun_variables else given


def _load_or_find_child(agent: AgentProcess, request: Request, message: dict[str, Any], tick: Tick | None) -> dict[str, Any]:
    """Returns the answer to `load`: the agent's, or that of the only child in which the script iterates its loader."""
    watch = ChildWatch(agent)
    looks = message["capture"] in (LOOK, LOOK_AT_ALL)
    limit_s = request.look_s or request.load_timeout_s if looks else request.load_timeout_s
    deadline = time.monotonic() + limit_s

    def tick_and_look() -> None:
        if tick is not None:
            tick()
        watch.look()

    what = f"{request.script} was not loaded" if message["capture"] is None else f"{request.script} has iterated no DataLoader"
    option = "--look" if looks and request.look_s else "--load-timeout"
    try:
        try:
            return agent.request(message, limit_s, tick_and_look)
        except AgentTimeoutError:
            if not looks:
                raise
            answer = agent.end_look()
            if request.look_s is None and answer["type"] == "again" and answer["captured"] is None:
                raise
            return answer
        except AgentDiedError:
            if not agent.alive:
                raise
            while time.monotonic() < deadline:  # the script has replaced itself by another program (exec), which may still report
                agent.wait_one_tick(tick_and_look)
            raise
    except ChildrenFoundError as found:
        if found.count > 1:
            raise SweepError(_several_children(request, found.held, found.count)) from found
        try:
            return agent.connect_to_child(found.held[0].pid, request.load_timeout_s, tick)
        except AgentError as error:
            raise SweepError(error_info(error), agent.output_tail()) from error
    except UnwatchedChildError as found:
        sentence = (
            f"{os.path.basename(request.script)} starts a process into which Loaderscope cannot look ({found.command}); it was ended "
            "before it could train. Start it with the script's PYTHONPATH, without -I, -E and -S, and in no container, or give what it "
            "runs as the script."
        )
        raise SweepError(ErrorInfo("unsupported", sentence, agent.output_tail(), request.script)) from found
    except AgentTimeoutError as error:
        raise SweepError(_timed_out(agent, request, f"{what} in {limit_s:g} s ({option})"), agent.output_tail()) from error
    except AgentError as error:
        raise SweepError(error_info(error), agent.output_tail()) from error


def _several_children(request: Request, held: list[HeldChild], count: int) -> ErrorInfo:
    first = held[0]
    script = os.path.basename(request.script)
    where = "" if first.file is None else f" ({os.path.basename(first.file)}:{first.line}, in {first.function})"
    reached = "that each iterate a loader" if len(held) == count else f"of which {len(held)} had come to a loader"
    sentence = (
        f"{script} starts {count} processes {reached}{where}; they were stopped there and ended, nothing was trained. "
        "Loaderscope measures one loader at a time: have the script start one process, or name its dataset as the target (--target)."
    )
    return ErrorInfo("unsupported", sentence, "", first.file, first.line)


def _timed_out(agent: AgentProcess, request: Request, sentence: str) -> ErrorInfo:
    """Returns the error with the sentence, and with the place that the script executes now, if the agent says it."""
    place = agent.where()
    if place is None:
        return ErrorInfo("hung", f"{sentence}.", agent.output_tail(), request.script)
    file, line, function = place
    within = "" if function.startswith("<") else f", in {function}"
    return ErrorInfo("hung", f"{sentence}; it is at {os.path.basename(file)}, line {line}{within}.", agent.output_tail(), file, line)


def _request(  # noqa: PLR0917
    agent: AgentProcess, message: dict[str, Any], expected: str, request: Request, tick: Tick | None, what: str
) -> dict[str, Any]:
    try:
        answer = agent.request(message, request.load_timeout_s, tick)
    except AgentTimeoutError as error:
        sentence = f"{what} in {request.load_timeout_s:g} s (--load-timeout)"
        raise SweepError(_timed_out(agent, request, sentence), agent.output_tail()) from error
    except AgentError as error:
        raise SweepError(error_info(error), agent.output_tail()) from error
    return _checked(agent, request, answer, expected)


def _checked(agent: AgentProcess, request: Request, answer: dict[str, Any], expected: str) -> dict[str, Any]:
    if answer["type"] == "failed":
        info = ErrorInfo.from_json(answer["error"])
        if info.cause == TORCHRUN_VARIABLES and not request.torchrun_variables:
            raise AsksForTorchrunError(info, dataclasses.replace(request, torchrun_variables=True))
        if info.kind not in _KINDS_WITH_OUTPUT:
            raise SweepError(info)
        agent.settle_output()
        output = agent.output_tail()
        if info.cause in (EXIT_STATUS, WRONG_ARGUMENTS) and (words := _last_words(output)):
            info = dataclasses.replace(info, message=f"{info.message}: {words}")
        raise SweepError(info, output)
    if answer["type"] != expected:
        raise SweepError(ErrorInfo("agent-died", f"The agent answered '{answer['type']}' where '{expected}' was expected."))
    return answer


def _last_words(output: str) -> str:
    """The last line of the output that has words, without a frame around them; empty if there is none."""
    lines = (line.strip(_FRAME) for line in reversed(output.splitlines()))
    return next((line for line in lines if any(map(str.isalpha, line))), "")
