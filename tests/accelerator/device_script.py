"""Scripts whose processes load the simulated accelerator, and what it logged in them."""

from __future__ import annotations

import dataclasses
import pathlib
import textwrap

from accelerator_log import Record, read_log

_LOAD = """\
import sys
sys.path.insert(0, {folder!r})
import simgpu
simgpu.load({library!r}, {log_stem!r})
"""


@dataclasses.dataclass(frozen=True)
class DeviceScript:
    """A script whose processes load the accelerator."""

    path: pathlib.Path
    log_stem: pathlib.Path

    def records(self) -> list[Record]:
        """Returns the records of the processes of the script."""
        return read_log(self.log_stem)


def write_script_on_device(library: pathlib.Path, folder: pathlib.Path, text: str) -> DeviceScript:
    """Writes a script that can use the device `simgpu`, with its functions in `torch.simgpu`."""
    script = DeviceScript(folder / "script.py", folder / "accelerator-log")
    load = _LOAD.format(folder=str(pathlib.Path(__file__).parent), library=str(library), log_stem=str(script.log_stem))
    script.path.write_text(load + textwrap.dedent(text), encoding="utf-8")
    return script
