"""Loads the agent's folder the way it is loaded in a user's interpreter: by path, under its own name."""

import importlib.util
import pathlib
import sys

PACKAGE = "_loaderscope_agent"
FOLDER = pathlib.Path(__file__).resolve().parents[2] / "loaderscope" / "agent"


def load() -> None:
    """Makes `import _loaderscope_agent...` work in this process."""
    if PACKAGE not in sys.modules:
        spec = importlib.util.spec_from_file_location(PACKAGE, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)])
        sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[PACKAGE])
