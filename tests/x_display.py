"""A real X server without a screen, looked at through libX11 alone: which windows there are, what they show, asking one to close."""

from __future__ import annotations

import ctypes
import os
import pathlib
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from loaderscope.gui.window.display import CORE_LIBRARIES, XCB_LIBRARIES

WIDTH, HEIGHT = 1600, 1000
SERVER_TIMEOUT_S = 20.0

_CLIENT_MESSAGE, _Z_PIXMAP, _IS_VIEWABLE = 33, 2, 2  # X.h


class _Image(ctypes.Structure):
    """The beginning of XImage (Xlib.h)."""

    _fields_ = [
        ("width", ctypes.c_int), ("height", ctypes.c_int), ("xoffset", ctypes.c_int), ("format", ctypes.c_int),
        ("data", ctypes.c_void_p), ("byte_order", ctypes.c_int), ("bitmap_unit", ctypes.c_int), ("bitmap_bit_order", ctypes.c_int),
        ("bitmap_pad", ctypes.c_int), ("depth", ctypes.c_int), ("bytes_per_line", ctypes.c_int), ("bits_per_pixel", ctypes.c_int),
    ]  # fmt: skip


class _Attributes(ctypes.Structure):
    """XWindowAttributes (Xlib.h)."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("x", "y", "width", "height", "border_width", "depth")),
        ("visual", ctypes.c_void_p), ("root", ctypes.c_ulong),
        *((name, ctypes.c_int) for name in ("window_class", "bit_gravity", "win_gravity", "backing_store")),
        ("backing_planes", ctypes.c_ulong), ("backing_pixel", ctypes.c_ulong), ("save_under", ctypes.c_int),
        ("colormap", ctypes.c_ulong), ("map_installed", ctypes.c_int), ("map_state", ctypes.c_int),
        *((name, ctypes.c_long) for name in ("all_event_masks", "your_event_mask", "do_not_propagate_mask")),
        ("override_redirect", ctypes.c_int), ("screen", ctypes.c_void_p),
    ]  # fmt: skip


class _ClientMessage(ctypes.Structure):
    """XClientMessageEvent (Xlib.h), padded to the size of XEvent."""

    _fields_ = [
        ("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int), ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong), ("message_type", ctypes.c_ulong), ("format", ctypes.c_int), ("data", ctypes.c_long * 5),
        ("padding", ctypes.c_long * 12),
    ]  # fmt: skip


_ERROR_HANDLER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_ignore_errors = _ERROR_HANDLER(lambda display, event: 0)
"""A window may go while it is looked at; Xlib's own handler would end the process."""


def why_none() -> str | None:
    """Why no real window can be opened here; None: one can."""
    if not sys.platform.startswith("linux"):
        return "X servers are tested on Linux only"
    if shutil.which("Xvfb") is None:
        return "Xvfb is not installed"
    missing = [library for library in (*CORE_LIBRARIES, *XCB_LIBRARIES) if not _loads(library)]
    return f"Qt cannot show windows here without {', '.join(missing)}" if missing else None


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


@contextmanager
def x_display() -> Iterator[XDisplay]:
    """An X server on a free display."""
    reader, writer = os.pipe()
    screen = f"{WIDTH}x{HEIGHT}x24"
    arguments = ["Xvfb", "-displayfd", str(writer), "-screen", "0", screen, "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(arguments, pass_fds=(writer,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], SERVER_TIMEOUT_S)
        number = os.read(reader, 16).decode().strip() if ready else ""
        assert number, "Xvfb did not start"
        display = XDisplay(f":{number}")
        try:
            yield display
        finally:
            display.close()
    finally:
        os.close(reader)
        server.terminate()
        server.wait(SERVER_TIMEOUT_S)


class XDisplay:
    """A connection to an X server.

    Attributes:
        name: what belongs into the variable DISPLAY.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._x = x = ctypes.CDLL("libX11.so.6")
        x.XOpenDisplay.restype = ctypes.c_void_p
        x.XDefaultRootWindow.restype = x.XInternAtom.restype = ctypes.c_ulong
        x.XGetImage.restype = ctypes.POINTER(_Image)
        x.XSetErrorHandler(_ignore_errors)
        self._display = ctypes.c_void_p(x.XOpenDisplay(name.encode()))
        assert self._display, f"no connection to the X server {name}"
        self._root = ctypes.c_ulong(x.XDefaultRootWindow(self._display))

    def close(self) -> None:
        self._x.XCloseDisplay(self._display)

    def environment(self, home: pathlib.Path) -> dict[str, str]:
        """For a program that shows its windows here and keeps its settings below `home`."""
        own = {"DISPLAY": self.name, "QT_QPA_PLATFORM": "xcb", "XDG_CONFIG_HOME": str(home / "config"), "QT_SCALE_FACTOR": "1"}
        return {name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"} | own

    def windows(self) -> list[int]:
        """The visible windows of programs, lowest first."""
        root, parent, count = ctypes.c_ulong(), ctypes.c_ulong(), ctypes.c_uint()
        children = ctypes.POINTER(ctypes.c_ulong)()
        look = (ctypes.byref(root), ctypes.byref(parent), ctypes.byref(children), ctypes.byref(count))
        if not self._x.XQueryTree(self._display, self._root, *look) or not children:
            return []
        found = [children[index] for index in range(count.value)]
        self._x.XFree(children)
        return [window for window in found if self._attributes(window).map_state == _IS_VIEWABLE]

    def title(self, window: int) -> str:
        """The title of a window; empty if it has none."""
        name = ctypes.c_char_p()
        if not self._x.XFetchName(self._display, ctypes.c_ulong(window), ctypes.byref(name)) or name.value is None:
            return ""
        text = name.value.decode("latin-1")
        self._x.XFree(name)
        return text

    def _attributes(self, window: int) -> _Attributes:
        attributes = _Attributes()
        self._x.XGetWindowAttributes(self._display, ctypes.c_ulong(window), ctypes.byref(attributes))
        return attributes

    def picture(self, height: int = HEIGHT) -> np.ndarray:
        """The screen, or only its upper part, as an array of height × width numbers 0xRRGGBB."""
        all_planes = ctypes.c_ulong(0xFFFFFFFF)
        image = self._x.XGetImage(self._display, self._root, 0, 0, WIDTH, height, all_planes, _Z_PIXMAP)
        assert image, "the X server gave no picture"
        assert (image.contents.bits_per_pixel, image.contents.bytes_per_line) == (32, WIDTH * 4)
        pixels = np.frombuffer(ctypes.string_at(image.contents.data, height * WIDTH * 4), np.uint32).reshape(height, WIDTH)
        self._x.XDestroyImage(image)
        return pixels & 0xFFFFFF

    def ask_to_close(self, window: int) -> None:
        """What a window manager sends when its button to close a window is pressed (ICCCM 4.2.8.1)."""
        protocols, delete = (self._x.XInternAtom(self._display, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
        event = _ClientMessage(type=_CLIENT_MESSAGE, window=window, message_type=protocols, format=32)
        event.data[0] = delete
        self._x.XSendEvent(self._display, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(event))
        self._x.XFlush(self._display)


def pixels_of(picture: np.ndarray, colour: str) -> int:
    """How many pixels have exactly the colour `#rrggbb`."""
    return int(np.count_nonzero(picture == int(colour[1:], 16)))
