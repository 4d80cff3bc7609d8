"""Gains above the number of workers are explained by torch's threads in main, and by nothing else."""

import pytest
from rows import config_of, made_up

from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.findings import Context, main_threads
from loaderscope.analysis.training import Training
from loaderscope.facts.evidence import Signs


def row(number, config, rate, fetch_s, other_threads_share=None):
    return made_up(number, config, rate, signs=Signs(fetch_s=fetch_s, other_threads_share=other_threads_share))


def find(*trials):
    return main_threads.find(Context(list(trials), combine(trials, Training(10)), None, None, None, Training(10)))


def test_a_gain_above_the_number_of_workers_is_explained_by_mains_threads():
    (finding,) = find(row(0, config_of(0), 100, 0.13, 0.5), row(1, config_of(2), 500, 0.01))
    assert (finding.code, finding.severity, finding.trials) == ("main-threads", "info", [0, 1])
    assert finding.evidence["throughput_ratio"] == 5.0
    assert finding.evidence["other_threads_share"] == 0.5
    assert "--threads 1" in finding.advice


def test_what_one_thread_gives_is_told_where_it_was_measured():
    rows = row(0, config_of(0), 100, 0.13, 0.5), row(1, config_of(2), 500, 0.01), row(2, config_of(0, threads=1), 400, 0.03, 0.0)
    (finding,) = find(*rows)
    assert finding.trials == [0, 1, 2]
    assert "4.0 times as fast" in finding.message


@pytest.mark.parametrize(
    ("plain", "other"),
    [
        ((100, 0.13, 0.5), (210, 0.01)),  # two workers may double the throughput
        ((100, 0.13, 0.05), (500, 0.01)),  # main's other threads do next to nothing
        ((100, 0.13, None), (500, 0.01)),  # the system does not tell
        ((100, 0.011, 0.5), (500, 0.01)),  # a fetch takes as long in a worker
    ],
)
def test_other_gains_are_not_explained_so(plain, other):
    rate, fetch_s, share = plain
    assert find(row(0, config_of(0), rate, fetch_s, share), row(1, config_of(2), *other)) == []


def test_settings_that_differ_otherwise_are_not_compared():
    plain = row(0, config_of(0), 100, 0.13, 0.5)
    assert find(plain, row(1, config_of(2, batch_size=64), 500, 0.01)) == []
    assert find(plain, row(1, config_of(2, threads=1), 500, 0.01)) == []
    assert find(plain, row(1, config_of(2, backend="thread", start_method=None), 500, 0.01)) == []
