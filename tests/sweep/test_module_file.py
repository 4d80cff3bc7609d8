"""The file of a module that is named as for `python -m`."""

import sys

import pytest
from running import write_script

from loaderscope.sweep.module_file import NoModuleError, module_file

MUST_NOT_RUN = "raise SystemExit('imported')\n"


@pytest.fixture
def folder(tmp_path):
    for name in ("pkg/__init__.py", "pkg/train.py", "pkg/sub/__init__.py", "pkg/sub/__main__.py", "space/deep/run.py", "alone.py"):
        write_script(tmp_path / name.rpartition("/")[0], MUST_NOT_RUN, name.rpartition("/")[2])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("pkg.train", "pkg/train.py"),
        ("pkg.sub", "pkg/sub/__main__.py"),
        ("pkg.sub.__main__", "pkg/sub/__main__.py"),
        ("space.deep.run", "space/deep/run.py"),  # folders without __init__.py
        ("alone", "alone.py"),
    ],
)
def test_a_module_is_found_in_the_folder_and_nothing_is_imported(folder, name, file):
    assert module_file(name, str(folder)) == str(folder / file)


def test_an_installed_module_is_found_where_the_interpreter_looks(folder):
    assert module_file("torch.distributed.run", str(folder), sys.executable).endswith("run.py")


@pytest.mark.parametrize("name", ["pkg", "pkg.missing", "alone.train", "surely_not_there"])
def test_a_module_that_cannot_be_run_is_named(folder, name):
    with pytest.raises(NoModuleError, match=name):
        module_file(name, str(folder))


def test_a_module_without_source_is_refused(folder):
    with pytest.raises(NoModuleError, match="no Python source"):
        module_file("_heapq" if "_heapq" not in sys.builtin_module_names else "_struct", str(folder), sys.executable)
