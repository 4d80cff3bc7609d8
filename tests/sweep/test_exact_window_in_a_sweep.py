"""The exact window within a sweep: once for each setting, after what is measured, in an agent that then ends."""

from running import request, run_pool, write_script

from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer, TrialConfig, TrialOrder, TrialOutcome
from loaderscope.analysis.measured_part import window_start_ns
from loaderscope.analysis.span_lookup import spans_of
from loaderscope.analysis.trial import TrialEnd
from loaderscope.sweep.kept_agent import may_be_kept

SCRIPT = """
    import torch
    from torch.utils.data import TensorDataset

    train_set = TensorDataset(torch.rand(400, 8))
"""


def test_each_setting_is_profiled_once_and_no_figure_holds_the_window(tmp_path):
    script = write_script(tmp_path, SCRIPT)
    sink = run_pool(request(script, batches=40, repeats=2, gpu_window=10, consumer=Consumer("sleep", 2.0), batch_size=(4,)))
    first, second = sink.results
    assert first.gpu_window.steps == 10 and second.gpu_window is None
    assert first.gpu_window.busy_share is None and "uses no accelerator" in first.gpu_window.reason
    for result in (first, second):
        assert [epoch.batches for epoch in result.epochs] == [40]
        assert result.samples == 160
        assert 0.5 < result.accelerator_share <= 1.0
    trace = sink.traces[first.id]
    waits = spans_of(trace, "main", State.WAIT)
    assert (waits.start_ns > window_start_ns(trace)).sum() > 10  # the window is in the timeline all the same


def test_an_agent_that_has_profiled_is_not_used_again():
    config = TrialConfig(2, 4, prefetch_factor=2, start_method="fork")
    end = TrialEnd("ok", None, TrialOutcome(1.0, 4, 16, [4], False, False, "same"), 1.0, 0.0)
    assert may_be_kept(False, TrialOrder(0, "", config), end, "same")
    assert not may_be_kept(False, TrialOrder(0, "", config, gpu_window=5), end, "same")
