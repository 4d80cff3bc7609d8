"""Drives real agents: the subprocess, the connection and the script are the product's own."""

from __future__ import annotations

import dataclasses
import pathlib
import textwrap
from typing import Any

from running import until

from loaderscope.agent.messages import Consumer, ErrorInfo, Target, TrialConfig, TrialOrder, TrialOutcome
from loaderscope.sweep.processes.agent_process import AgentProcess

ANSWER_TIMEOUT_S = 60.0


@dataclasses.dataclass
class DrivenAgent:
    """An agent that a test asks; each request gives the answer, or the ErrorInfo of a failure."""

    process: AgentProcess
    folder: pathlib.Path
    trials: int = 0
    notes: list[str] = dataclasses.field(default_factory=list)

    def ask(self, kind: str, **message: Any) -> dict[str, Any] | ErrorInfo:
        answer = self.process.request({"type": kind, **message}, ANSWER_TIMEOUT_S)
        return ErrorInfo.from_json(answer["error"]) if answer["type"] == "failed" else answer

    def load(self, script: pathlib.Path, *args: str, capture: int | None = None, module: str | None = None) -> list[Target] | ErrorInfo:
        """The script's targets; `notes` has what the answer says of how it runs."""
        answer = self.ask("load", script=str(script), module=module, args=list(args), cwd=str(self.folder), capture=capture)
        self.notes = [] if isinstance(answer, ErrorInfo) else answer["notes"]
        return answer if isinstance(answer, ErrorInfo) else [Target.from_json(target) for target in answer["targets"]]

    def load_text(self, text: str) -> list[Target]:
        """Writes a script into the agent's folder and loads it; fails the test if it cannot be loaded."""
        targets = self.load(write_into(self.folder, text))
        assert not isinstance(targets, ErrorInfo), targets.message
        return targets

    def attach(self, target: str, **arguments: str) -> dict[str, Any] | ErrorInfo:
        return self.ask("attach", target=target, arguments=arguments)

    def trial(self, config: TrialConfig, consumer: Consumer | None = None, **order: Any) -> TrialOutcome | ErrorInfo:
        self.trials += 1
        log_dir = self.folder / f"log-{self.process.pid}-{self.trials}"
        log_dir.mkdir()
        options = {"record": False, **order}
        trial = TrialOrder(self.trials, str(log_dir), config, consumer=consumer or Consumer(), **options)
        answer = self.ask("trial", trial=trial.to_json())
        return answer if isinstance(answer, ErrorInfo) else TrialOutcome.from_json(answer["outcome"])

    def output(self) -> list[str]:
        """What was printed since the last call; all of it once the agent is closed."""
        return [line.text for line in self.process.drain_output()]

    def output_until(self, last: str) -> list[str]:
        """What is printed from now on up to the line `last`; the agent goes on."""
        lines: list[str] = []
        assert until(lambda: lines.extend(self.output()) or last in lines), lines
        return lines

    def printed(self, beginning: str, count: int) -> list[str]:
        """The next `count` lines with this beginning, as soon as they came."""
        lines: list[str] = []

        def came() -> bool:
            lines.extend(line for line in self.output() if line.startswith(beginning))
            return len(lines) >= count

        assert until(came), lines
        assert len(lines) == count
        return lines

    def close(self) -> list[str]:
        self.process.close()
        return self.output()


def write_into(folder: pathlib.Path, text: str | bytes, name: str = "train.py") -> pathlib.Path:
    """Writes a file of a script, dedented."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode("utf-8"))
    return path
