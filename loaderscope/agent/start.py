"""Entry of the agent: the user's interpreter runs it by path; it loads this folder as a package and serves the app.

It loads the folder under a name of its own and takes it off `sys.path`, so that neither our modules shadow the user's
packages nor theirs ours, whatever is installed in that interpreter.
"""

import sys

_LOADED_AT_START = frozenset(sys.modules)  # any script of the user would find these loaded, too

PACKAGE = "_loaderscope_agent"


def _main() -> None:
    import os  # every interpreter has loaded it at its start

    folder = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0] or os.curdir) == folder:
        del sys.path[0]

    import importlib.util

    spec = importlib.util.spec_from_file_location(PACKAGE, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])
    if spec is None or spec.loader is None:
        raise SystemExit("the agent's folder %s cannot be loaded" % folder)
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)

    serve = importlib.import_module(PACKAGE + ".serve")
    serve.main(_LOADED_AT_START)


if __name__ == "__main__":
    _main()
