"""Stands first on PYTHONPATH of what a script starts while its loader is looked for: any Python 3 runs it, before all else.

It loads as little as it can, fails in silence, and gives way to the `sitecustomize` that it stands before: distributions and
development environments have one.
"""

import os
import sys

PACKAGE = "_loaderscope_agent"  # name of the agent's folder as a package: see agent/spawn_probe.py


def _watch(hook_folder: str) -> None:
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


def _give_way() -> None:
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
    _watch(_here)
except Exception:  # an old Python that cannot read our modules: the script must run as without us
    pass
_give_way()
