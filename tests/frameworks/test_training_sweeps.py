"""In scripts of the frameworks the training itself takes the batches of the loader that trains, with each setting."""

from __future__ import annotations

import dataclasses

import pytest
from framework_scripts import FILE_OF_FIRST_STEP, SAMPLES_OF_A_BATCH, SCRIPTS
from running import request, run_pool

from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer
from loaderscope.analysis.span_lookup import spans_of, worker_lanes
from loaderscope.facts.consumers import TRAINING

BATCHES = 12
TAKEN = BATCHES + TRAINING.warm_up_batches


@pytest.mark.frameworks
@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", [script for script in SCRIPTS if script.loader is not None], ids=lambda script: script.name)
def test_the_training_takes_the_batches_of_each_setting(script, interpreter, folder):
    expected = script.loader
    asked = request(
        script.path,
        (0, 2),
        "fork",
        consumer=Consumer("training"),
        batches=BATCHES,
        timeout_s=60.0,
        load_timeout_s=60.0,
        python=interpreter,
        ceiling=False,
    )
    sink = run_pool(dataclasses.replace(asked, cwd=str(folder)))
    assert sink.run.target.captured.number == expected.number
    tried = [(result.config.num_workers, result.status, result.batches, result.error) for result in sink.results]
    assert tried == [(0, "ok", TAKEN, None), (2, "ok", TAKEN, None)], sink.output
    for result in sink.results:
        trace = sink.traces[result.id]
        assert result.samples == TAKEN * SAMPLES_OF_A_BATCH
        assert result.samples_per_second is not None, result.samples_per_second_reason
        assert spans_of(trace, "main", State.STEP).size == TAKEN
        assert len(worker_lanes(trace)) == result.config.num_workers
        assert result.step_share > 0
    assert (folder / FILE_OF_FIRST_STEP).exists()
