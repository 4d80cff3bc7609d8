"""When the simulated accelerator is built, and where it cannot be."""

import accelerator_library
import pytest


@pytest.fixture
def torch_folder(tmp_path):
    """A folder that looks like that of a torch with header files."""
    header = tmp_path / "torch/include/ATen/ATen.h"
    header.parent.mkdir(parents=True)
    header.touch()
    return tmp_path / "torch"


def test_it_is_built_once_for_each_version_of_torch(monkeypatch, tmp_path, torch_folder):
    builds = []

    def build(torch_folder, folder):
        builds.append(folder)
        (folder / "simgpu.so").write_text("built")
        return folder / "simgpu.so"

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(accelerator_library, "_build", build)
    pytest.importorskip("fcntl")
    libraries = [accelerator_library.built_library(torch_folder, version) for version in ("2.13.0", "2.13.0", "2.14.0")]
    assert [library.read_text() for library in libraries] == ["built"] * 3
    assert libraries[0] == libraries[1] != libraries[2]
    assert len(builds) == 2
    assert sorted((tmp_path / "cache/loaderscope-tests").glob("*")) == sorted({*libraries, libraries[0].parent / "lock"})


def test_changed_sources_are_built_anew(monkeypatch, tmp_path, torch_folder):
    sources = tmp_path / "source"
    sources.mkdir()
    monkeypatch.setattr(accelerator_library, "_SOURCES", sources)
    keys = set()
    for text in ("one", "two"):
        (sources / "log.cpp").write_text(text)
        keys.add(accelerator_library._key(torch_folder, "2.13.0"))
    assert len(keys) == 2


def test_a_machine_that_cannot_build_it_says_why(monkeypatch, tmp_path, torch_folder):
    monkeypatch.setattr(accelerator_library.sys, "platform", "linux")
    monkeypatch.setattr(accelerator_library.shutil, "which", lambda name: f"/usr/bin/{name}")
    why = accelerator_library.why_unavailable
    assert why(torch_folder, "2.13.0+cpu") == ""
    assert "2.6.0" in why(torch_folder, "2.6.0")
    assert "header" in why(tmp_path, "2.13.0")
    monkeypatch.setattr(accelerator_library.shutil, "which", lambda name: None)
    assert "g++" in why(torch_folder, "2.13.0")
    monkeypatch.setattr(accelerator_library.sys, "platform", "win32")
    assert "Linux" in why(torch_folder, "2.13.0")
