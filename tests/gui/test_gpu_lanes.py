"""What the timeline and the table say about the device, or about the accelerator that a simulated step stands for."""

import dataclasses

import synthetic
from support_session import config_of
from synthetic import MS, US

from loaderscope.agent.layout import State
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.training import Training
from loaderscope.facts.results import TrialResult
from loaderscope.gui.panels.results_panel import COLUMNS, visible_columns
from loaderscope.gui.run.run_state import SettingRow
from loaderscope.gui.style.words import trial_note
from loaderscope.gui.timeline.data import hover_card, span_query
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.trace.lane_table import DEVICE_EXACT_LANE, DEVICE_STEP_LANE, DEVICE_STREAM_LANE, MAIN_LANE
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
    return {name: (value, remark) for name, value, remark, _ in hover_card.describe(scene, span).lines}


def test_a_period_between_two_events_is_called_an_upper_bound_with_the_error_of_its_place():
    scene = Scene(gpu_trace())
    step = next(span for span in span_query.spans_of_batch(scene, batch_id(0, 5), scene.origin_ns) if span.state == State.DEVICE_STEP)
    lines = lines_of(scene, step)
    assert lines["busy"] == ("at most", "between two events: gaps between its kernels count as busy")
    assert lines["clock"][0] == "± 12.0 µs"


def test_the_part_of_a_period_in_which_the_host_still_issued_is_not_sure_to_be_busy():
    trace = gpu_trace()
    step = next(span for span in span_query.spans_of_batch(Scene(trace), batch_id(0, 5), 0) if span.state == State.DEVICE_STEP)
    trace.track(DEVICE_STEP_LANE, 1).append(
        start_ns=[step.start_ns],
        end_ns=[step.start_ns + step.duration_ns // 4],
        state=[int(State.DEVICE_STEP_ISSUE)],
        batch=[step.batch],
        value=[0],
    )
    scene = Scene(trace)
    assert lines_of(scene, step)["busy"][0].replace("\u202f", " ") == "75 % to 100 %"


def test_two_periods_of_a_batch_on_side_streams_are_each_as_sure_as_their_own_part():
    trace = gpu_trace()
    starts_ns = [trace.origin_ns + MS, trace.origin_ns + 3 * MS]
    for depth, state, length_ns in ((0, State.DEVICE_STREAM, 2 * MS), (1, State.DEVICE_STREAM_ISSUE, 2 * MS)):
        trace.track(DEVICE_STREAM_LANE, depth).append(
            start_ns=starts_ns,
            end_ns=[starts_ns[0] + length_ns, starts_ns[1] + length_ns // 2],
            state=[int(state)] * 2,
            batch=[batch_id(0, 5)] * 2,
            value=[0, 0],
        )
    scene = Scene(trace)
    second = span_query.span_ref("device-stream", 0, scene.tracks("device-stream")[0], 1)
    assert lines_of(scene, second)["busy"][0].replace("\u202f", " ") == "0 % to 100 %"


def test_the_exact_window_has_a_lane_of_its_own_below_the_other_lanes_of_the_device():
    scene = Scene(gpu_trace())
    assert [row.key for row in scene.rows][:3] == ["device-step", "device-exact", "main"]
    work = span_query.span_ref("device-exact", 0, scene.tracks("device-exact")[0], 0)
    assert hover_card.describe(scene, work).title == "GPU (exact window) · kernels and copies"
    assert "torch.profiler" in lines_of(scene, work)["exact"][1]
    assert "busy" not in lines_of(scene, work)


def test_a_batch_that_was_profiled_is_not_said_to_be_of_a_measured_epoch():
    trace = synthetic.make_trace(num_workers=1, batches=8, epochs=2)
    second_ns = int(trace.tracks["main", -1].view()["start_ns"][1])
    trace.points_of(MAIN_LANE).append(time_ns=[second_ns - 1], state=[int(State.EXACT_WINDOW)], batch=[-1], value=[5])
    scene = Scene(trace)
    titles = [
        hover_card.describe(
            scene, next(span for span in span_query.spans_of_batch(scene, batch_id(epoch, 3), near) if span.state == State.STEP)
        ).title
        for epoch, near in ((0, scene.origin_ns), (1, second_ns))
    ]
    assert titles == ["batch 3 of epoch 0 · main · step", "batch 3 of the exact window · main · step"]


def shown(**shares):
    trial = dataclasses.replace(TrialResult(0, 0, "ok", config_of(2)), wait_share=0.2, **shares)
    row = SettingRow(trial.config, [trial], combine([trial], Training(10))[0], "ok", 0)
    return {COLUMNS[index].title: COLUMNS[index].text(row) for index in sorted(visible_columns([row]))}


def test_the_parts_of_the_gpus_time_stand_side_by_side_where_there_is_one():
    cells = shown(
        gpu_busy_share=0.6, gpu_busy_share_low=0.55, data_stall_share=0.4, data_stall_share_low=0.4, data_stall_share_high=0.4,
        gpu_other_idle_share=0.0,
    )  # fmt: skip
    texts = [cells[title].replace("\u202f", " ") for title in ("GPU busy", "GPU stall", "GPU other")]
    assert texts == ["55 % to 60 %", "40 %", "0 %"]
    assert not any(title.startswith("GPU") for title in shown())


def test_a_lower_bound_alone_is_shown_too():
    assert shown(gpu_busy_share_low=0.3)["GPU busy"].replace("\u202f", " ") == "at least 30 %"


def test_the_line_above_the_timeline_tells_all_parts_of_the_gpus_time():
    row = TrialResult(0, 0, "ok", config_of(2), wait_share=0.3, gpu_busy_share=0.6, data_stall_share=0.25, gpu_other_idle_share=0.15)
    told = trial_note(row).replace("\u202f", " ").replace("\xa0", " ")
    assert "the GPU is busy at most 60 %, waits for data 25 %, idles otherwise 15 %" in told
    assert "an accelerator would be busy" in trial_note(dataclasses.replace(row, accelerator_share=0.9))
    assert "GPU" not in trial_note(TrialResult(0, 0, "ok", config_of(2), wait_share=0.3))


def test_the_share_of_an_accelerator_carries_its_mark():
    assert shown(accelerator_share=0.9)["accel."].endswith("✓")
    assert shown(accelerator_share=0.89)["accel."].endswith("✗")
    assert "accel." not in shown()
