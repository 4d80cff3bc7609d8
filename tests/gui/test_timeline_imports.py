"""Imports in the timeline: those of the script itself have a place, those inside them and sums for lines have none."""

import synthetic

from loaderscope.agent.layout import State
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.trace import lane_table
from loaderscope.trace.model import TrackKey


def test_only_the_outermost_imports_are_drawn():
    trace = synthetic.make_trace(num_workers=1, start_method="spawn", batches=4)
    assert TrackKey("worker-0", lane_table.IMPORT_DEPTH + 1) in trace.tracks
    columns = {"start_ns": trace.origin_ns, "end_ns": trace.origin_ns + 1, "state": int(State.LINE), "batch": -1, "value": 0}
    trace.track(lane_table.worker_lane(0), lane_table.LINE_DEPTH).append(**columns)
    scene = Scene(trace)
    scene.update()
    tracks = scene.tracks("worker-0")
    imports = [index.count_of(State.IMPORT) for index in tracks if index.count_of(State.IMPORT)]
    assert len(imports) == 1
    assert not any(index.count_of(State.LINE) for index in tracks)
    assert any(index.count_of(State.PICKLE) for index in scene.tracks("main"))
