"""Keeps the agent of a sweep from one trial to the next if that cannot change the next trial, else replaces it by a fresh one."""

from __future__ import annotations

from collections.abc import Callable

from loaderscope.agent.messages import TrialOrder
from loaderscope.analysis.trial import TrialEnd
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.request import Request
from loaderscope.sweep.inspect_script import load_and_attach
from loaderscope.sweep.processes.agent_output import OutputLine
from loaderscope.sweep.processes.agent_process import AgentProcess, Tick
from loaderscope.sweep.ready_agent import Approach, Attached, InConstructor, Loaded, attach, load, reach, start_agent


class KeptAgent:
    """Holds at most one agent, with the target attached. All that the agent prints reaches `on_line`, even after its end."""

    def __init__(self, tick: Tick, on_line: Callable[[OutputLine], None]) -> None:
        """Starts no agent yet.

        Args:
            tick: called about every 0.1 s during a wait for an agent; an exception that it raises passes through.
            on_line: gets each line of output.
        """
        self._tick = tick
        self._on_line = on_line
        self._agent: AgentProcess | None = None
        self._attached: Attached | None = None
        self._number_in_constructors: int | None = None  # of the target, once that is known

    def load_first(self, request: Request) -> tuple[Loaded, Attached]:
        """Loads the script in an agent, which the first trial will use.

        Raises:
            SweepError: see `load_and_attach`.
        """
        return reach(Approach(request), self._load_first)

    def _load_first(self, approach: Approach) -> tuple[Loaded, Attached]:
        self.close(at_once=True)
        self._agent = start_agent(approach.request, self._tick)
        loaded, self._attached = load_and_attach(self._agent, approach, self._tick)
        return loaded, self._attached

    def ready_agent(self, request: Request, order: TrialOrder) -> tuple[AgentProcess, Attached]:
        """Returns the agent of the trial before, or a fresh one.

        Args:
            request: of the run.
            order: the trial that the agent is to run.

        Raises:
            SweepError: a fresh agent cannot be made ready.
        """
        if kind_of(order.consumer).is_training:
            return self._agent_of_training(request, order)
        if self._agent is None or self._attached is None or not self._agent.alive:
            self.close(at_once=True)
            self._agent = start_agent(request, self._tick)
            load(self._agent, request, self._tick)
            self._attached = attach(self._agent, request, request.target or "", self._tick)
        return self._agent, self._attached

    def _agent_of_training(self, request: Request, order: TrialOrder) -> tuple[AgentProcess, Attached]:
        """Returns a fresh agent; if the loader starts its workers in its constructor, the trial begins there, while the script runs."""
        while True:
            self.close(at_once=True)
            number = self._number_in_constructors
            agent = self._agent = start_agent(request, self._tick)
            load(agent, request, self._tick, in_constructor=None if number is None else InConstructor(number, order))
            attached = self._attached = attach(agent, request, request.target or "", self._tick)
            self._number_in_constructors = attached.number_in_constructors
            if number is not None or self._number_in_constructors is None:
                return agent, attached

    def close(self, at_once: bool) -> None:
        """Ends the agent, if there is one.

        Args:
            at_once: see `AgentProcess.close`.
        """
        agent, self._agent, self._attached = self._agent, None, None
        if agent is not None:
            agent.close(at_once)
            self._forward_output_of(agent)

    def forward_output(self) -> None:
        """Forwards the output that was read so far to `on_line`."""
        if self._agent is not None:
            self._forward_output_of(self._agent)

    def forward_all_output(self) -> None:
        """Forwards all output to `on_line`, after a short wait for output that was printed but not read yet."""
        if self._agent is not None:
            self._agent.settle_output()
            self._forward_output_of(self._agent)

    def _forward_output_of(self, agent: AgentProcess) -> None:
        for line in agent.drain_output():
            self._on_line(line)


def may_be_kept(isolate: bool, order: TrialOrder, end: TrialEnd, fingerprint: str | None) -> bool:
    """Whether the agent of this trial may run the next one, because that cannot change the next trial.

    It may not if the training ran in it, if the user's dataset or step did (0 workers, threads, a script's step), if a device or the
    profiler was initialised, if a fork server was started (it survives), if the trial failed, or if the dataset has changed.

    Args:
        isolate: the user wants a fresh agent for each trial.
        order: the trial.
        end: how the trial ended.
        fingerprint: of the dataset before any trial.
    """
    config, outcome = order.config, end.outcome
    if isolate or end.status != "ok" or outcome is None or outcome.ran_user_code or kind_of(order.consumer).is_training:
        return False
    if not config.num_workers or config.backend == "thread" or config.start_method == "forkserver":
        return False
    if kind_of(order.consumer).may_use_device or order.device is not None or config.pin_memory or order.gpu_window is not None:
        return False
    return outcome.fingerprint == fingerprint
