"""What the window knows about the script to measure, stage by stage. No Qt."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path
from typing import Any

from loaderscope.agent.messages import Target
from loaderscope.facts.request import Request
from loaderscope.sweep.inspect_script import Inspection, TargetProbe
from loaderscope.sweep.target_choice import targets_of

NO_SCRIPT = "Choose a script first."


class Stage(enum.Enum):
    """The stages of looking at a script."""

    EMPTY = enum.auto()
    SAVED = enum.auto()  # a session is shown, and its script is not read: a file that somebody sent must not start anything
    UNREAD = enum.auto()  # a training is to be recorded, whose script must not run before
    READING = enum.auto()
    READ = enum.auto()  # its targets are listed, or the user knows why there are none
    PROBING = enum.auto()  # one sample of the chosen target is being read
    PROBED = enum.auto()


@dataclasses.dataclass(frozen=True)
class ScriptState:
    """A stage, with the facts known in it; each method returns the state that follows.

    Attributes:
        request: the script, with the options that have no field in the panels; None if there is no script that can be read.
        wanted_target: name of the target to choose once the targets are listed.
        inspection: the targets, from READ on; None if the script could not be read.
        look: of the run of the script that showed which loaders it iterates; None without such a run.
        probe: the sample, in PROBED.
    """

    stage: Stage = Stage.EMPTY
    request: Request | None = None
    wanted_target: str | None = None
    inspection: Inspection | None = None
    look: TargetProbe | None = None
    probe: TargetProbe | None = None

    @property
    def script(self) -> str:
        """Path of the script; empty without one."""
        return self.request.script if self.request is not None else ""

    @property
    def is_known(self) -> bool:
        """Whether the script was read, and no look at it goes on."""
        return self.inspection is not None and not self.is_looking

    @property
    def is_of_session(self) -> bool:
        """Whether the script is that of a session, so that only the user may have it read."""
        return self.stage is Stage.SAVED

    @property
    def is_looking(self) -> bool:
        """Whether the script or a sample of a target is being read."""
        return self.stage in (Stage.READING, Stage.PROBING)

    @property
    def has_targets(self) -> bool:
        """Whether a target can be chosen and probed."""
        return self.stage in (Stage.READ, Stage.PROBING, Stage.PROBED)

    @property
    def met_loaders(self) -> list[Target]:
        """The loaders that the script iterated in the look, as targets; empty without a look."""
        captured = self.look.target.captured if self.look is not None else None
        return targets_of(captured) if captured is not None else []

    @property
    def targets(self) -> list[Target]:
        """The targets to choose from. Those of a look replace the captured loaders that the source shows."""
        listed, met = self.inspection.targets if self.inspection is not None else [], self.met_loaders
        return [*met, *(target for target in listed if target.kind != "captured")] if met else listed

    @property
    def environment(self) -> dict[str, Any] | None:
        """The environment of the interpreter that read the script or the sample last."""
        latest = self.probe or self.inspection
        return latest.environment if latest is not None else None

    @property
    def problem(self) -> str:
        """Why no script can be measured, in one sentence; empty if the script was read."""
        if self.request is None:
            return NO_SCRIPT
        if self.stage in (Stage.SAVED, Stage.UNREAD):
            return f"Read {Path(self.script).name} again (Ctrl+F5) to measure it here."
        return "The script is being read." if self.stage is Stage.READING else ""

    def with_request(self, request: Request) -> ScriptState:
        """Another script, or other options for this one, is about to be read."""
        return dataclasses.replace(self, request=request, wanted_target=request.target)

    def session_shown(self, request: Request | None, target: str) -> ScriptState:
        """A session is shown; `request` is None if its script is not on this machine."""
        return ScriptState(Stage.SAVED, request, target)

    def unread(self, request: Request) -> ScriptState:
        """The script is chosen, and must not be read."""
        return ScriptState(Stage.UNREAD, request, self.wanted_target)

    def reading(self, request: Request) -> ScriptState:
        """The script is being read."""
        return ScriptState(Stage.READING, request, self.wanted_target)

    def failed(self) -> ScriptState:
        """Reading failed: there are no targets, or there is no sample of the chosen one."""
        return self.read(None) if self.stage is Stage.READING else self.probed(None)

    def read(self, inspection: Inspection | None) -> ScriptState:
        """The targets are known; None if the script could not be read."""
        request = self.request
        if request is not None and inspection is not None:  # so that the next look at the script need not find it out anew
            request = dataclasses.replace(request, torchrun_variables=inspection.torchrun_variables)
        return dataclasses.replace(self, request=request, stage=Stage.READ, inspection=inspection, probe=None)

    def looked(self, look: TargetProbe) -> ScriptState:
        """A run of the script showed which loaders it iterates."""
        return dataclasses.replace(self, look=look)

    def probing(self) -> ScriptState:
        """One sample of the chosen target is being read."""
        return dataclasses.replace(self, stage=Stage.PROBING, probe=None)

    def probed(self, probe: TargetProbe | None) -> ScriptState:
        """The sample was read; None if there is none, or it could not be read."""
        return dataclasses.replace(self, stage=Stage.READ if probe is None else Stage.PROBED, probe=probe)
