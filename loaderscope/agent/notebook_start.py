"""Runs a notebook as a program, in a Python that is started with this file: `python notebook_start.py NOTEBOOK ARGS`.

A recorded training that is a notebook is started so: Python itself runs scripts only. `child_hook` has loaded this folder as a package.
"""

import os
import sys

PACKAGE = "_loaderscope_agent"  # name of this folder as a package: see agent/spawn_probe.py


def _main() -> None:
    import importlib

    path = os.path.abspath(sys.argv[1])
    del sys.argv[0]
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    importlib.import_module(PACKAGE + ".notebook_program").run(path)


if __name__ == "__main__":
    _main()
