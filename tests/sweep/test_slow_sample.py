"""One slow sample in a real loader: found with its worker, its batch and its index, and what it held up."""

import numpy as np
import pytest
from running import request, run_pool, write_script

from loaderscope.analysis.late_batches import Cause, find_waits, lane_of, slowest_sample
from loaderscope.trace.model import epoch_and_batch

SCRIPT = """
    import time
    import torch

    class Slow(torch.utils.data.Dataset):
        def __len__(self):
            return 120
        def __getitem__(self, index):
            time.sleep(0.4 if index == 53 else 0.002)
            return torch.zeros(8)

    data = Slow()
"""


SLOW_INDEX, BATCH_SIZE = 53, 4


@pytest.fixture(scope="module")
def sink(tmp_path_factory):
    script = write_script(tmp_path_factory.mktemp("slow"), SCRIPT)
    asked = request(script, (0, 2), batches=30, epochs=2, target="data", batch_size=(BATCH_SIZE,), backend=("process", "thread"))
    return run_pool(asked)


def trials():
    return pytest.mark.parametrize("backend", [None, "process", "thread"])


def trial_of(sink, backend):
    (result,) = [result for result in sink.results if result.config.backend == backend]
    assert result.status == "ok"
    return result, sink.traces[result.id]


@trials()
def test_every_wait_is_charged_whole_and_to_something_known(sink, backend):
    _, trace = trial_of(sink, backend)
    waits = find_waits(trace)
    assert len(waits) == 60
    np.testing.assert_array_equal(waits.charged_ns.sum(axis=1), waits.duration_ns)
    assert (waits.charged_ns >= 0).all()
    assert not waits.charged_ns[:, Cause.UNKNOWN].any()


@trials()
def test_the_slow_sample_of_each_epoch_is_found(sink, backend):
    _, trace = trial_of(sink, backend)
    waits = find_waits(trace)
    waits = waits.pick(np.array([epoch_and_batch(batch)[1] > 0 for batch in waits.batch.tolist()]))  # the first one is start-up
    worst = waits.pick(waits.costliest(2))
    assert sorted(map(epoch_and_batch, worst.batch.tolist())) == [(0, SLOW_INDEX // BATCH_SIZE), (1, SLOW_INDEX // BATCH_SIZE)]
    assert set(worst.cause.tolist()) == {Cause.FETCH}
    for row in range(2):
        lane = lane_of(int(worst.worker[row]))
        sample, took_ns = slowest_sample(trace, lane, int(worst.fetch_start_ns[row]), int(worst.fetch_end_ns[row]))
        assert sample == SLOW_INDEX
        assert took_ns >= 0.4e9
    if backend is not None:
        assert set(worst.worker.tolist()) == {SLOW_INDEX // BATCH_SIZE % 2}
        assert (worst.held_up >= 1).all()
        assert (worst.held_up_ns > 0).all()


@trials()
def test_the_row_of_the_trial_tells_it(sink, backend):
    result, _ = trial_of(sink, backend)
    late = result.signs.late_batches[0]
    assert (late.batch, late.sample, late.cause) == (SLOW_INDEX // BATCH_SIZE, SLOW_INDEX, "fetch")
    assert late.worker == (None if backend is None else SLOW_INDEX // BATCH_SIZE % 2)
    assert sum(late.charged_s.values()) == pytest.approx(late.wait_s)
