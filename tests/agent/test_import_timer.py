"""What an import consists of: the modules as a tree, and the lines of the module that was imported."""

import importlib
import importlib.util
import pathlib
import runpy
import sys
import threading
import traceback

import pytest

from loaderscope.agent.import_timer import ImportTimer
from loaderscope.agent.line_sampler import LineSampler
from loaderscope.agent.notebook_shell import cell_file, define

BURN = "import time\nuntil = time.thread_time() + {seconds}\nwhile time.thread_time() < until:\n    pass\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package whose module `inner` takes a while, imported by `outer`, imported by the package."""
    folder = tmp_path / "timed_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("from . import outer\n")
    (folder / "outer.py").write_text("from . import inner\n")
    (folder / "inner.py").write_text(BURN.format(seconds=0.05))
    (folder / "light.py").write_text("")
    (folder / "broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "timed_package"
    for name in [name for name in sys.modules if name.startswith("timed_package")]:
        del sys.modules[name]


def test_every_module_is_timed_and_lies_within_the_one_that_imports_it(package):
    with ImportTimer() as timer:
        importlib.import_module(package)
        importlib.import_module(f"{package}.light")
    inner, outer, whole = timer.finished[:3]
    assert [inner.name, outer.name, whole.name] == [f"{package}.inner", f"{package}.outer", package]
    for inside, around in ((inner, outer), (outer, whole)):
        assert around.start_ns <= inside.start_ns
        assert inside.start_ns + inside.duration_ns <= around.start_ns + around.duration_ns
    assert [(heavy["name"], heavy["within"]) for heavy in timer.heavy_packages()] == [(package, None)]
    assert timer.depth == 0
    assert timer.own_ns > 0


def test_of_a_package_that_another_imports_it_is_said_which(package, tmp_path):
    (tmp_path / "around.py").write_text(f"import between, {package}_second\n")
    (tmp_path / "between.py").write_text(f"import {package}\n")
    (tmp_path / f"{package}_second.py").write_text(BURN.format(seconds=0.03))
    try:
        with ImportTimer() as timer:
            importlib.import_module("around")
        within = {row["name"]: row["within"] for row in timer.heavy_packages()}
    finally:
        sys.modules.pop("around", None), sys.modules.pop("between", None)
    assert within == {"around": None, "between": "around", package: "between", f"{package}_second": "around"}


def test_afterwards_nothing_of_it_is_left(package):
    finders = list(sys.meta_path)
    with ImportTimer() as timer:
        spec = importlib.util.find_spec(f"{package}.light")  # looked for, and executed only later
    assert sys.meta_path == finders
    told = len(timer.finished)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert "exec_module" not in vars(spec.loader)
    assert len(timer.finished) == told


def test_imports_of_other_threads_are_not_timed(package):
    with ImportTimer() as timer:
        thread = threading.Thread(target=importlib.import_module, args=(package,))
        thread.start()
        thread.join()
    assert timer.finished == []


def test_a_module_that_raises_shows_the_user_no_frame_of_ours(package):
    with ImportTimer(), pytest.raises(ZeroDivisionError) as raised:
        importlib.import_module(f"{package}.broken")
    files = [pathlib.Path(frame.filename).name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert "import_timer.py" not in files


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_the_time_of_a_module_is_charged_to_its_lines(tmp_path, package, encoding):
    script = tmp_path / "script.py"
    burn = BURN.format(seconds=0.15).replace("\n", "\n    ").rstrip()
    text = f"# -*- coding: {encoding} -*-\nimport {package}\ndef load():\n    {burn}\n    return 1\nrésultat = load()\n"
    script.write_bytes(text.encode(encoding))
    threads = threading.active_count()
    with ImportTimer() as timer, LineSampler("__mp_main__", timer) as sampler:
        runpy.run_path(str(script), run_name="__mp_main__")
    lines = sampler.lines()
    assert threading.active_count() == threads
    heaviest = max(lines, key=lambda line: line.plain_ns)
    assert heaviest.text == "résultat = load()"
    assert heaviest.plain_ns > 100_000_000
    importing = [line for line in lines if line.import_ns > line.plain_ns]
    assert [line.text for line in importing] in ([f"import {package}"], [])  # a machine that is busy may look too seldom
    assert sampler.lines() == []


def test_the_time_of_a_notebook_is_charged_to_lines_of_its_cells():
    burn = BURN.format(seconds=0.05).replace("\n", "\n    ").rstrip()
    sources = [f"def load():\n    {burn}\nfirst = load()", "\nsecond = load()"]
    cells = [(cell_file("lesson.ipynb", number), source, (0,), 0) for number, source in enumerate(sources, 1)]
    cells[0] = (*cells[0][:2], (0, 1), 0)
    with ImportTimer() as timer, LineSampler("__mp_main__", timer) as sampler:
        define({"__name__": "__mp_main__"}, cells)
    assert [line.text for line in sampler.lines()] == ["first = load() (cell 1)", "second = load() (cell 2)"]


def test_a_module_of_another_name_is_not_looked_at(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(BURN.format(seconds=0.03))
    with ImportTimer() as timer, LineSampler("__mp_main__", timer) as sampler:
        runpy.run_path(str(script), run_name="another")
    assert sampler.lines() == []
