"""The agent of a sweep: kept from one trial to the next while that cannot matter, else replaced by a fresh one."""

from __future__ import annotations

from collections.abc import Callable

from loaderscope.agent.messages import TrialOrder
from loaderscope.analysis.trial import TrialEnd
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.request import Request
from loaderscope.sweep.inspect_script import load_and_attach
from loaderscope.sweep.processes.agent_output import OutputLine
from loaderscope.sweep.processes.agent_process import AgentProcess, Tick
from loaderscope.sweep.ready_agent import Attached, Loaded, NotReachedError, attach, load, start_agent


class KeptAgent:
    """At most one agent at a time, ready with the target. Whatever it printed reaches `on_line`, also after its end."""

    def __init__(self, tick: Tick, on_line: Callable[[OutputLine], None]) -> None:
        """Starts nothing yet.

        Args:
            tick: called about every 0.1 s while an agent is waited for; what it raises passes through.
            on_line: gets each line of output.
        """
        self._tick = tick
        self._on_line = on_line
        self._agent: AgentProcess | None = None
        self._attached: Attached | None = None

    def load_first(self, request: Request) -> tuple[Loaded, Attached]:
        """Loads the script in the agent that the first trial will use.

        Raises:
            SweepError: see `load_and_attach`.
        """
        self._agent = start_agent(request, self._tick)
        try:
            loaded, self._attached = load_and_attach(self._agent, request, self._tick)
        except NotReachedError as unreached:
            self.close(at_once=False)
            return self.load_first(unreached.request)
        return loaded, self._attached

    def ready(self, request: Request) -> tuple[AgentProcess, Attached]:
        """The agent of the trial before, or a fresh one.

        Raises:
            SweepError: a fresh one cannot be made ready.
        """
        if self._agent is None or self._attached is None or not self._agent.alive:
            self.close(at_once=True)
            self._agent = start_agent(request, self._tick)
            load(self._agent, request, self._tick)
            self._attached = attach(self._agent, request, request.target or "", self._tick)
        return self._agent, self._attached

    def close(self, at_once: bool) -> None:
        """Ends the agent, if there is one.

        Args:
            at_once: see `AgentProcess.close`.
        """
        agent, self._agent, self._attached = self._agent, None, None
        if agent is not None:
            agent.close(at_once)
            self._hand_on(agent)

    def take_output(self) -> None:
        """Hands on what is here of the output."""
        if self._agent is not None:
            self._hand_on(self._agent)

    def take_all_output(self) -> None:
        """Waits a moment for what was printed and is not here yet, and hands on all of it."""
        if self._agent is not None:
            self._agent.settle_output()
            self._hand_on(self._agent)

    def _hand_on(self, agent: AgentProcess) -> None:
        for line in agent.drain_output():
            self._on_line(line)


def may_be_kept(isolate: bool, order: TrialOrder, end: TrialEnd, fingerprint: str | None) -> bool:
    """Whether the agent of this trial may run the next one: only while that cannot matter.

    Not after the user's dataset or step ran inside of it (0 workers, threads, a script's step), a device or the profiler was
    initialised, a forkserver was started (it survives), the trial failed, or the dataset is no longer what it was.
    """
    config, outcome = order.config, end.outcome
    if isolate or end.status != "ok" or outcome is None or outcome.ran_user_code:
        return False
    if not config.num_workers or config.backend == "thread" or config.start_method == "forkserver":
        return False
    if kind_of(order.consumer).may_use_device or order.device is not None or config.pin_memory or order.gpu_window is not None:
        return False
    return outcome.fingerprint == fingerprint
