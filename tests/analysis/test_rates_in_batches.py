"""Where the samples of a batch cannot be counted, rates, comparison and recommendation are in batches."""

import dataclasses

import synthetic
from rows import config_of
from synthetic import MS

from loaderscope.agent.messages import TrialConfig, TrialOrder, TrialOutcome
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.recommend import find_knee, recommend
from loaderscope.analysis.training import Training
from loaderscope.analysis.trial import TrialEnd, analyse
from loaderscope.facts.measures import throughput_of
from loaderscope.facts.run import PlannedTrial
from loaderscope.gui.charts.throughput_chart import throughput_data


def row(number: int, workers: int, samples: int | None):
    """A trial in which a fetch takes 8 ms, with batches of unknown size unless `samples` are counted."""
    config: TrialConfig = dataclasses.replace(config_of(workers), batch_size=None)
    trace = synthetic.make_trace(batches=100, num_workers=workers, fetch_ns=8 * MS)
    outcome = TrialOutcome(1.0, 100, samples, [100], False, False, None)
    order = TrialOrder(number, "", config, batches=100)
    return analyse(trace, PlannedTrial(number, 0, config), order, TrialEnd("ok", None, outcome, 1.0, 0.02))


def test_the_rate_is_in_batches_where_samples_are_not_counted():
    result = row(0, 0, None)
    assert result.samples_per_second is None
    assert 80 < result.batches_per_second.value <= 125
    assert "--samples-of" in result.samples_per_second_reason
    assert throughput_of(result).endswith("batches/s")


def test_where_samples_are_counted_there_is_no_rate_in_batches():
    result = row(0, 0, 3200)
    assert result.batches_per_second is None
    assert throughput_of(result).endswith("samples/s")


def test_settings_are_compared_and_recommended_by_batches():
    trials = [row(0, 0, None), row(1, 1, None), row(2, 2, None)]
    training = Training(batches=1000)
    settings = combine(trials, training)
    assert recommend(settings, trials, None, 2, 0, training).config == trials[2].config
    assert find_knee(settings, trials[2].config) == trials[2].config
    chart = throughput_data(settings, None)
    assert chart.measure.unit == "batches/s"
    assert sum(len(points) for _, points in chart.lines) == 3
