"""Steps that use loaders of their own: a validation loop, a second stream of unlabelled batches."""

import pytest
from running import request, run_pool, write_script

from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer
from loaderscope.analysis.span_lookup import spans_of

STEP = """
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    train_set = TensorDataset(torch.zeros(400, 4))

    def make_train_step():
        unlabelled, others = iter(DataLoader(train_set, batch_size=1)), TensorDataset(torch.zeros(8, 4))
        def train_step(batch):
            next(unlabelled)
            for _ in DataLoader(others, batch_size=2):
                pass
        return train_step
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_that_the_step_uses_is_not_taken_for_the_measured_one(tmp_path, workers):
    sink = run_pool(request(write_script(tmp_path, STEP), (workers,), consumer=Consumer("script"), batches=20, batch_size=(4,), epochs=2))
    (result,) = sink.results
    assert result.status == "ok", (result.error, sink.output)
    assert [epoch.batches for epoch in result.epochs] == [20, 20]
    waits, fetches = (spans_of(sink.traces[result.id], lane, state) for lane, state in (("main", State.WAIT), ("main", State.FETCH)))
    assert (waits.batch >= 0).sum() == 40
    assert fetches.size == (0 if workers else 40)
    assert result.wait_share + result.transfer_share + result.step_share + result.other_share == pytest.approx(1.0, abs=1e-12)
