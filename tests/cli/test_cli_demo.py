"""The built-in example without a display: the sweep runs in the terminal and leaves a session, a report and a figure."""

import dataclasses
import pathlib

import pytest

from loaderscope import cli
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
        assert {(result.config.num_workers, result.status, result.batches) for result in results} == {(1, "ok", 8)}
        assert all(result.step_share for result in results)  # the example's own training step took the batches


@pytest.mark.parametrize("name", ["photos.py", "main_only.py", "slow_start.py", "stream.py"])
def test_the_examples_ship_with_the_package(name: str) -> None:
    assert demo_example.example_script(name).is_file()


def test_every_photograph_has_a_credit() -> None:
    photos = demo_example.example_script().parent.parent / "photos"
    credits = (photos / "CREDITS.md").read_text(encoding="utf-8")
    names = [path.name for path in photos.glob("*.jpg")]
    assert len(names) >= 12
    assert [name for name in names if name not in credits] == []
