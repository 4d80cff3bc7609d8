"""Whether a window can be seen is told without Qt."""

import sys

import pytest

from loaderscope.gui.window import display

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="a question of Linux")


@linux_only
@pytest.mark.parametrize(
    ("environ", "visible"),
    [
        ({}, False),
        ({"DISPLAY": ":0"}, True),
        ({"DISPLAY": ""}, False),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({"DISPLAY": ":0", "QT_QPA_PLATFORM": "offscreen"}, False),
        ({"QT_QPA_PLATFORM": "minimal:enable_fonts"}, False),
        ({"QT_QPA_PLATFORM": "vnc"}, True),
    ],
)
def test_a_display_is_what_somebody_can_see(environ: dict[str, str], visible: bool) -> None:
    assert display.has_display(environ) is visible


@linux_only
def test_missing_libraries_are_told_as_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "CORE_LIBRARIES", {"libc.so.6": "libc6", "libnowhere.so.1": "libnowhere1"})
    monkeypatch.setattr(display, "XCB_LIBRARIES", {"libnowhere-cursor.so.0": "libnowhere-cursor0"})
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    assert display.missing_packages(visible=False) == ["libnowhere1"]
    assert display.missing_packages(visible=True) == ["libnowhere1", "libnowhere-cursor0"]
    assert display.missing_sentence(["libnowhere1"], "draw").endswith("apt install libnowhere1")
