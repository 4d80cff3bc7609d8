"""Checks whether a window can be shown here, without importing Qt: Qt aborts the process if it cannot."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping

INVISIBLE_PLATFORMS = ("offscreen", "minimal")

# Libraries that Qt's core needs, and those that its X11 plugin needs besides, with their packages in Debian and Ubuntu.
CORE_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libX11.so.6": "libx11-6",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
}
XCB_LIBRARIES = {
    "libX11-xcb.so.1": "libx11-xcb1",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}


def has_display(environ: Mapping[str, str] | None = None) -> bool:
    """Returns whether a window would be visible: on Linux there is a display server, and Qt draws to it."""
    environ = os.environ if environ is None else environ
    platform = environ.get("QT_QPA_PLATFORM", "").partition(":")[0]
    if platform in INVISIBLE_PLATFORMS:
        return False
    if platform or not sys.platform.startswith("linux"):
        return True
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def window_problem() -> str | None:
    """Returns why no window can be opened here, in one sentence; None if one can."""
    packages = missing_packages(visible=True)
    if packages:
        return missing_sentence(packages, "open a window")
    return None if has_display() else "there is no display here for a window"


def missing_packages(visible: bool) -> list[str]:
    """Returns the system packages that Qt lacks, for a window on X11 (`visible`) or only for drawing; none outside Linux."""
    if not sys.platform.startswith("linux"):
        return []
    needs_xcb = visible and os.environ.get("QT_QPA_PLATFORM", "xcb").startswith("xcb") and not os.environ.get("WAYLAND_DISPLAY")
    libraries = CORE_LIBRARIES | XCB_LIBRARIES if needs_xcb else CORE_LIBRARIES
    return [package for library, package in libraries.items() if not _loads(library)]


def missing_sentence(packages: list[str], purpose: str) -> str:
    """Returns the sentence for a user whose system lacks these packages."""
    return f"Qt cannot {purpose} here because system libraries are missing. On Debian and Ubuntu: apt install {' '.join(packages)}"


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
