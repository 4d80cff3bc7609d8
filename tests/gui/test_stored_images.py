"""Painting looks as it did: every picture of `painted.py` against the one stored in tests/gui/images, light and dark.

`pytest tests/gui/test_stored_images.py --renew-images` stores what is painted now; look at the changed files before they are committed.
"""

from __future__ import annotations

import pathlib
import sys

import painted
import pytest
from PySide6.QtGui import QColor, QImage

TOLERATED = 24
"""Of 255, in any channel of a pixel: smoothed edges come out a little different on other processors and versions of Qt."""

MOST_DIFFERENT = 0.001
"""Share of the pixels that may differ by more."""

NAMES = (
    "timeline-exact",
    "timeline-columns",
    "timeline-collapsed",
    "timeline-arrows",
    "timeline-pair",
    "timeline-marks",
    "throughput",
    "startup",
    "memory",
)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the stored images are of the text of Linux")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """All pictures as they are painted now."""
    folder = tmp_path_factory.mktemp("painted")
    painted.paint_all(folder)
    return folder


def test_every_picture_is_stored_and_nothing_else(folder, request):
    found = {path.name for path in folder.iterdir()}
    assert found == {f"{name}-{theme}.png" for name in NAMES for theme in ("light", "dark")}
    if request.config.getoption("--renew-images"):
        for path in painted.STORED.glob("*.png"):
            if path.name not in found:
                path.unlink()
    else:
        assert {path.name for path in painted.STORED.glob("*.png")} == found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_it_looks_as_it_did(folder, request, name, theme):
    new, stored = folder / f"{name}-{theme}.png", painted.STORED / f"{name}-{theme}.png"
    image = QImage(str(new))
    known = QImage(str(stored))
    share = painted.difference(image, known, TOLERATED)
    if request.config.getoption("--renew-images"):
        if share.share > 0 or not stored.exists():
            stored.write_bytes(new.read_bytes())
        return
    if share.share > MOST_DIFFERENT:
        drawn = new.with_name(f"{name}-{theme}-difference.png")
        share.image.save(str(drawn))
        told = f"{share.share:.2%} of the pixels differ. New: {new}, stored: {stored}, difference in red: {drawn}."
        pytest.fail(f"{told} If it is meant so: pytest {__file__} --renew-images")


def test_a_moved_bar_and_another_colour_are_seen():
    image = QImage(100, 100, QImage.Format.Format_RGB32)
    image.fill(QColor("#ffffff"))
    moved = image.copy()
    for x in range(10):
        for y in range(10):
            moved.setPixelColor(x, y, QColor("#2a80c4"))
    assert painted.difference(moved, image, TOLERATED).share == pytest.approx(0.01)
    assert painted.difference(image, image, TOLERATED).share == 0
    assert painted.difference(image.copy(0, 0, 50, 50), image, TOLERATED).share == 1.0
