"""Scripts with a slow start: the right culprit is named, from real workers to the JSON document."""

import pathlib

import pytest
from running import request, run_pool

from loaderscope.session.document import build_document

HERE = pathlib.Path(__file__).parent


def run(script, method, workers=(1,), **options):
    sink = run_pool(request(HERE / script, workers, method, load_timeout_s=90.0, timeout_s=90.0, **options))
    assert set(sink.statuses) == {"ok"}
    document = build_document(sink.run, sink.results)
    return document, [trial["startup"] for trial in document["trials"]]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.slow
def test_heavy_imports_are_named_down_to_the_module(method):
    document, (startup,) = run("startup_imports.py", method)
    assert startup["culprit"]["phase"] == "main_import"
    assert "the import of heavy_library takes" in startup["culprit"]["detail"]
    assert startup["culprit"]["detail"].endswith("heavy_library.kernels")
    assert startup["explained_share"] > 0.95
    heaviest = startup["imports"][0]
    assert (heaviest["name"], heaviest["parent"]) == ("heavy_library.kernels", "heavy_library.models")
    assert "torch" in {cost["name"] for cost in startup["imports"]}
    assert "heavy-imports" in {finding["code"] for finding in document["findings"]}
    imported = {row["name"]: (row["within"], row["beside_script"]) for row in document["environment"]["script_imports"]}
    assert (imported["heavy_library"], imported["torch"], imported["numpy"]) == ((None, True), (None, False), ("torch", False))


def test_an_expensive_top_level_is_named_with_its_line():
    document, (startup,) = run("startup_init.py", "spawn", target="loader")
    assert startup["culprit"]["phase"] == "main_import"
    assert "dataset = Indexed(seconds=3.0)" in startup["culprit"]["detail"]
    assert startup["explained_share"] > 0.95
    assert "expensive-top-level" in {finding["code"] for finding in document["findings"]}


@pytest.mark.slow
def test_a_large_pickle_is_named_with_the_attribute_and_the_serial_starts():
    document, (startup,) = run("startup_pickled.py", "spawn", (2,), probe=True)
    assert startup["culprit"]["phase"] == "start_worker"
    assert "dataset.rows (a list of Row)" in startup["culprit"]["detail"]
    assert startup["serial_starts"] is True
    assert startup["explained_share"] > 0.95
    heaviest = document["sent"][0]
    assert (heaviest["attribute"], heaviest["type_name"]) == ("dataset.rows", "list of Row")
    assert heaviest["bytes"] > 10_000_000
    assert {"large-pickle", "serial-starts"} <= {finding["code"] for finding in document["findings"]}


def test_what_unpickling_imports_is_named_and_not_the_few_bytes_that_are_sent(monkeypatch):
    monkeypatch.setenv("HEAVY_LIBRARY_SECONDS", "0.5")  # torch, which the script does not import either, takes long enough
    document, (startup,) = run("startup_unpickled.py", "spawn", probe=True)
    assert startup["culprit"]["phase"] == "unpickle"
    assert "which that needs and the script does not import" in startup["culprit"]["detail"]
    assert startup["explained_share"] > 0.95
    phases = {cost["name"]: cost["phase"] for cost in startup["imports"]}
    assert (phases["heavy_library.kernels"], phases["torch"]) == ("unpickle", "unpickle")
    assert "large-pickle" not in {finding["code"] for finding in document["findings"]}


@pytest.mark.slow
@pytest.mark.parametrize("script", ["startup_imports.py", "startup_init.py"])
def test_a_fork_pays_for_nothing_of_this(script):
    _, (startup,) = run(script, "fork", target="make_loader" if script == "startup_imports.py" else "loader")
    assert startup["culprit"]["phase"] not in ("main_import", "pickle", "unpickle")
    assert (startup["imports"], startup["lines"], startup["own_s"]) == ([], [], None)
    assert startup["explained_share"] > 0.95
