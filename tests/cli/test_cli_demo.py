"""The built-in example without a display: the sweep runs in the terminal and leaves a session, a report and a figure."""

import dataclasses
import pathlib

import pytest

from loaderscope import cli
from loaderscope.cli.commands import demo
from loaderscope.facts.request import Axes, Request
from loaderscope.session.file import SessionFile
from loaderscope.sweep import demo_example


@pytest.fixture
def short_demo(monkeypatch: pytest.MonkeyPatch, qapp: object) -> None:
    """The demo's sweep with fewer trials of fewer batches; `qapp`, as widgets of later tests need more than a figure does."""
    whole = demo_example.demo_request(2)

    def shortened(usable_cpus: int) -> Request:
        return dataclasses.replace(whole, axes=Axes(num_workers=(1,)), batches=8)

    monkeypatch.setattr(demo_example, "demo_request", shortened)
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")


@pytest.mark.slow
def test_the_demo_writes_session_report_and_figure_and_overwrites_nothing(
    short_demo: None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loaderscope-demo.html").write_text("precious")
    assert cli.main(["demo"]) == 0
    said = capsys.readouterr()
    assert "no display" in said.err
    assert (tmp_path / "loaderscope-demo.html").read_text() == "precious"
    for suffix, magic in ((".html", b"<!doctype html"), (".png", b"\x89PNG")):
        written = tmp_path / f"loaderscope-demo-2{suffix}"
        assert written.name in said.err
        assert written.read_bytes().lower().startswith(magic.lower())
    with SessionFile.open(tmp_path / "loaderscope-demo-2.loaderscope") as session:
        results = session.results  # of one setting; it is measured again where other programs disturb it
        tried = {(result.config.num_workers, result.perfect_loader, result.status, result.batches) for result in results}
        assert tried == {(1, False, "ok", 8), (0, True, "ok", 8)}
        assert all(result.step_share for result in results)  # the example's own training step took the batches


@pytest.mark.parametrize("name", ["photos.py", "main_only.py", "slow_start.py", "stream.py", "train_photos.py"])
def test_the_examples_ship_with_the_package(name: str) -> None:
    assert demo_example.example_script(name).is_file()


def test_every_photograph_has_a_credit() -> None:
    photos = demo_example.example_script().parent.parent / "photos"
    credits = (photos / "CREDITS.md").read_text(encoding="utf-8")
    names = [path.name for path in photos.glob("*.jpg")]
    assert len(names) >= 12
    assert [name for name in names if name not in credits] == []


def test_the_training_is_recorded_with_its_validation_and_drawn(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], qapp: object
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setattr(demo, "TRAINING_ARGUMENTS", ("--epochs", "2", "--samples", "32"))
    assert cli.main(["demo", "--training"]) == 0
    written = capsys.readouterr().err
    for suffix, magic in ((".html", b"<!doctype html"), (".png", b"\x89PNG")):
        path = tmp_path / f"loaderscope-demo-training{suffix}"
        assert path.name in written
        assert path.read_bytes().lower().startswith(magic.lower())
    with SessionFile.open(tmp_path / "loaderscope-demo-training.loaderscope") as session:
        document = session.document()
    assert document["kind"] == "trace"
    assert [(loader["name"].partition(":")[0], loader["num_workers"], len(loader["epochs"])) for loader in document["loaders"]] == [
        ("train_photos.py", 1, 2),
        ("train_photos.py", 0, 2),
    ]
    train, test = document["loaders"]
    assert 0 < train["exposed_s"] + test["exposed_s"] < document["training"]["seconds"]
    checkpoints = [gap for gap in document["gaps"] if gap["before"] == test["name"] and gap["after"] == train["name"]]
    assert checkpoints
