"""What the timeline says about periods of the device."""

import synthetic
from synthetic import MS, US

from loaderscope.agent.layout import State
from loaderscope.gui.timeline import cards, query
from loaderscope.gui.timeline.scene import Scene
from loaderscope.trace.lanes import DEVICE_EXACT_LANE, MAIN_LANE
from loaderscope.trace.model import batch_id


def gpu_trace():
    trace = synthetic.make_trace(num_workers=1, batches=16, step_ns=4 * MS, device_ns=3 * MS)
    end_ns = trace.end_ns
    trace.points_of(MAIN_LANE).append(time_ns=[end_ns], state=[int(State.DEVICE_ANCHOR)], batch=[-1], value=[12 * US])
    trace.track(DEVICE_EXACT_LANE, 0).append(
        start_ns=[end_ns + MS], end_ns=[end_ns + 2 * MS], state=[int(State.DEVICE_WORK)], batch=[-1], value=[0]
    )
    return trace


def lines_of(scene, span):
    return {name: (value, remark) for name, value, remark, _ in cards.describe(scene, span).lines}


def test_a_period_between_two_events_is_called_an_upper_bound_with_the_error_of_its_place():
    scene = Scene(gpu_trace())
    step = next(span for span in query.spans_of_batch(scene, batch_id(0, 5), scene.origin_ns) if span.state == State.DEVICE_STEP)
    lines = lines_of(scene, step)
    assert lines["busy"] == ("at most", "between two events: gaps between its kernels count as busy")
    assert lines["clock"][0] == "± 12.00 µs"


def test_the_exact_window_has_a_lane_of_its_own_below_the_other_lanes_of_the_device():
    scene = Scene(gpu_trace())
    assert [row.key for row in scene.rows][:3] == ["device-step", "device-exact", "main"]
    work = query.reference("device-exact", 0, scene.tracks("device-exact")[0], 0)
    assert cards.describe(scene, work).title == "GPU (exact window) · kernels and copies"
    assert "torch.profiler" in lines_of(scene, work)["exact"][1]
    assert "busy" not in lines_of(scene, work)
