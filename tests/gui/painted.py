"""The pictures that are compared with stored ones, painted in a process of its own with a font of its own.

    python tests/gui/painted.py FOLDER

Run like that it paints all of them into a folder as NAME-light.png and NAME-dark.png. The process sees no font but the one beside
the stored images and no font settings of the machine, so that text looks alike wherever Qt rasterises it.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable

HERE = pathlib.Path(__file__).parent
STORED = HERE / "images"
FONT = "Loaderscope Test"
SIZE = (640, 360)

_FONT_SETTINGS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{font}</dir>
  <cachedir>{cache}</cachedir>
  <match target="font">
    <edit name="antialias" mode="assign"><bool>true</bool></edit>
    <edit name="hinting" mode="assign"><bool>false</bool></edit>
    <edit name="autohint" mode="assign"><bool>false</bool></edit>
    <edit name="rgba" mode="assign"><const>none</const></edit>
  </match>
</fontconfig>
"""


def paint_all(folder: pathlib.Path) -> None:
    """Paints all pictures in another process."""
    with tempfile.TemporaryDirectory() as scratch:
        settings = pathlib.Path(scratch) / "fonts.conf"
        settings.write_text(_FONT_SETTINGS.format(font=STORED / "font", cache=scratch), "utf-8")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("QT_")}
        environment |= {"QT_QPA_PLATFORM": "offscreen", "FONTCONFIG_FILE": str(settings)}
        subprocess.run([sys.executable, __file__, str(folder)], env=environment, check=True, timeout=100)


def make_pictures() -> dict[str, Callable]:
    """Functions by name; each paints an image in the colours of a palette."""
    import synthetic
    from PySide6.QtGui import QGuiApplication, QImage, QPainter
    from synthetic import MS

    from loaderscope.agent.messages import TrialConfig
    from loaderscope.analysis.late_batches import find_waits
    from loaderscope.facts.estimates import Estimate
    from loaderscope.facts.results import Recommendation, SettingResult, TrialResult
    from loaderscope.facts.run import Mark
    from loaderscope.facts.startup_results import Phase, Startup
    from loaderscope.gui.charts.chart_figure import chart_figure
    from loaderscope.gui.charts.memory_chart import MEMORY, memory_data
    from loaderscope.gui.charts.startup_chart import STARTUP, startup_data
    from loaderscope.gui.charts.throughput_chart import THROUGHPUT_CHART, throughput_data
    from loaderscope.gui.timeline.data.arrangement import Arrangement
    from loaderscope.gui.timeline.data.row_layout import place_rows
    from loaderscope.gui.timeline.data.scene import Scene
    from loaderscope.gui.timeline.paint.annotations import paint_marks
    from loaderscope.gui.timeline.paint.arrows import LateArrows
    from loaderscope.gui.timeline.paint.canvas import Canvas
    from loaderscope.gui.timeline.paint.timeline_figure import timeline_figure
    from loaderscope.gui.timeline.paint.timeline_painter import paint, viewport_of
    from loaderscope.trace.model import SeriesInfo, Trace

    def slow_now_and_then(batch: int) -> int:
        return 90 * MS if batch % 9 == 7 else 30 * MS

    few = synthetic.make_trace(
        num_workers=2,
        batches=8,
        fetch_ns=30 * MS,
        collate_ns=6 * MS,
        send_ns=3 * MS,
        step_ns=9 * MS,
        transfer_ns=2 * MS,
        start_method="spawn",
    )
    uneven = synthetic.make_trace(num_workers=4, batches=40, fetch_ns=slow_now_and_then, step_ns=8 * MS, epochs=2)
    alone = synthetic.make_trace(num_workers=0, batches=20, fetch_ns=30 * MS, step_ns=9 * MS)
    rng = random.Random(1)
    lengths = [rng.choice((200_000, 2 * MS, 30 * MS)) for _ in range(6000)]
    many = synthetic.make_trace(num_workers=3, batches=6000, fetch_ns=lambda batch: lengths[batch], step_ns=1 * MS)

    def timeline(trace, **more):
        def picture(palette):
            height = None if "below" in more else SIZE[1]
            return timeline_figure(trace, width=SIZE[0], height=height, palette=palette, **more).image(1.0)

        return picture

    def marks(palette):
        scene = Scene(few, "Marks")
        layout = place_rows(scene.rows, SIZE[0], SIZE[1])
        image = QImage(*SIZE, QImage.Format.Format_RGB32)
        painter = QPainter(image)
        painter.setFont(QGuiApplication.font())
        view = viewport_of(scene, None, None)
        paint(painter, scene, view, layout, palette)
        moments = [scene.origin_ns + round(scene.total_ns * share) for share in (0.3, 0.5, 0.8)]
        shown = tuple(Mark(moment, text) for moment, text in zip(moments, ("first", "", "a longer text of a mark"), strict=True))
        paint_marks(Canvas(painter, scene, view, layout, palette), shown, shown[2])
        painter.end()
        return image

    def chart(kind, data):
        return lambda palette: chart_figure(kind, data, size=SIZE, palette=palette).image(1.0)

    def config(workers, method="fork"):
        return TrialConfig(workers, 32, 2, False, False, method, True, "process") if workers else TrialConfig(0, 32)

    def setting(number, workers, value, method="fork"):
        return SettingResult(config(workers, method), [number], Estimate(value, (value * 0.93, value * 1.06)))

    settings = [
        setting(0, 0, 210),
        setting(1, 1, 220),
        setting(2, 2, 410),
        setting(3, 4, 640),
        setting(4, 1, 200, "spawn"),
        setting(5, 4, 590, "spawn"),
    ]
    recommendation = Recommendation(config(4), config(4), [config(4, "spawn")], None, None, 4, 8, "because")

    def started(number, workers, method, slow):
        worker = [("create", 0.02), ("boot", 0.05), ("main_import", slow), ("unpickle", 0.04), ("first_fetch", 0.2), ("first_send", 0.03)]
        phases, now = [Phase(0, "main", "iterator", 0.0, 0.05)], 0.05
        for name, seconds in worker:
            phases.append(Phase(0, "worker-0", name, now, seconds))
            now += seconds
        startup = Startup(0.97, None, phases)
        return TrialResult(number, 0, "ok", config(workers, method), first_batch_s=now + 0.02, startup=startup)

    sampled = Trace()
    sampled.origin_ns = 1000
    for process, size in (("main", 3.2e8), ("worker-0", 1.9e8), ("worker-1", 2.1e8)):
        for kind, factor in (("pss", 1.0), ("uss", 0.6)):
            info = SeriesInfo(f"{kind}/{process}", "memory", process, "bytes", process)
            values = [size * factor * (0.6 + 0.4 * min(step / 8, 1)) for step in range(20)]
            sampled.series_of(info).append(time_ns=[1000 + step * 500 * MS for step in range(20)], value=values)

    arrows = LateArrows()
    arrows.set_waits(find_waits(uneven))
    origin = few.origin_ns
    return {
        "timeline-exact": timeline(few, title="Every span by itself", range_ns=(origin, origin + 260 * MS)),
        "timeline-columns": timeline(many, title="Shares of columns"),
        "timeline-collapsed": timeline(uneven, title="Workers as one row", arrangement=Arrangement().collapse("worker")),
        "timeline-arrows": timeline(uneven, title="Late batches", arrows=[arrows]),
        "timeline-pair": timeline(alone, title="0 workers", below=(uneven, "4 workers"), caption="One axis."),
        "timeline-marks": marks,
        "throughput": chart(THROUGHPUT_CHART, throughput_data(settings, recommendation)),
        "startup": chart(STARTUP, startup_data([started(0, 2, "spawn", 1.1), started(1, 2, "fork", 0.0), started(2, 4, "spawn", 1.9)])),
        "memory": chart(MEMORY, memory_data(sampled)),
    }


def main(folder: pathlib.Path) -> None:
    """Paints all pictures into a folder."""
    from PySide6.QtGui import QFont
    from PySide6.QtWidgets import QApplication

    application = QApplication([])
    font = QFont(FONT)
    font.setPixelSize(12)
    application.setFont(font)

    from loaderscope.gui.style.palette import PALETTES

    for name, picture in make_pictures().items():
        for theme, palette in PALETTES.items():
            picture(palette).save(str(folder / f"{name}-{theme}.png"))


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far a picture is from the stored one.

    Attributes:
        share: of the pixels that differ visibly.
        image: those pixels in red on the faded picture.
    """

    share: float
    image: object


def difference(image, stored, tolerated: int) -> Difference:
    """Compares two images; a channel may differ by `tolerated` of 255."""
    import numpy as np
    from PySide6.QtGui import QImage

    if image.size() != stored.size():
        return Difference(1.0, image)
    images = [np.frombuffer(one.convertToFormat(QImage.Format.Format_RGB32).constBits(), np.uint8) for one in (image, stored)]
    new, old = (pixels.reshape(image.height(), image.width(), 4)[..., :3].astype(np.int16) for pixels in images)
    differs = (np.abs(new - old) > tolerated).any(axis=2)
    shown = np.full((image.height(), image.width(), 4), 255, np.uint8)
    shown[..., :3] = 170 + new // 3
    shown[differs] = (0, 0, 230, 255)
    drawn = QImage(shown.tobytes(), image.width(), image.height(), 4 * image.width(), QImage.Format.Format_RGB32).copy()
    return Difference(float(differs.mean()), drawn)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main(pathlib.Path(sys.argv[1]))
