"""The environment variables of torchrun, for a script that asks for them: as torchrun sets them for one process."""

from __future__ import annotations

import socket
from collections.abc import Mapping

_CONSTANT = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}

NOTE = (
    f"The script asks for torchrun's variables: {', '.join(f'{name}={value}' for name, value in _CONSTANT.items())} "
    "and a free MASTER_PORT are set, for one process."
)


def variables(given: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables to set besides the given ones; each call chooses another free port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return {name: value for name, value in {**_CONSTANT, "MASTER_PORT": str(port)}.items() if name not in given}
