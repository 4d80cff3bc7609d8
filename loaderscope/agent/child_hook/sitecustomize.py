"""Loads the agent into each Python that a script starts during a search (`agent/watched_children.py`).

This folder is first on PYTHONPATH then, and any Python 3 runs this file before all else. It loads as little as it can, fails in
silence, and then imports the `sitecustomize` that it shadows: distributions and development environments have one.
"""

import os
import sys

PACKAGE = "_loaderscope_agent"  # name of the agent's folder as a package: see agent/spawn_probe.py


def _start_agent(hook_folder: str) -> None:
    from _frozen_importlib import module_from_spec
    from _frozen_importlib_external import spec_from_file_location

    folder = os.path.dirname(hook_folder)
    if PACKAGE not in sys.modules:
        spec = spec_from_file_location(PACKAGE, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])
        assert spec is not None and spec.loader is not None
        sys.modules[PACKAGE] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[PACKAGE])
    __import__(PACKAGE + ".child_start")
    sys.modules[PACKAGE + ".child_start"].start()


def _import_shadowed_sitecustomize() -> None:
    own = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", None) != "sitecustomize":
            raise
        if own is not None:
            sys.modules["sitecustomize"] = own


_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != _here]
try:
    _start_agent(_here)
except Exception:  # an old Python that cannot read our modules: the script must run as without us
    pass
_import_shadowed_sitecustomize()
