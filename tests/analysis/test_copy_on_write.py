"""Pages that forked workers copy: told apart from memory that they take anew, and said once."""

import pytest
import synthetic
from rows import config_of, made_up, measure_trace
from synthetic import MS, SECOND

from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.findings import Context, find_all
from loaderscope.analysis.training import Training
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.evidence import Signs
from loaderscope.facts.results import Memory, WorkerMemory
from loaderscope.facts.startup_results import SentPart
from loaderscope.trace.model import SeriesInfo

MIB = 1 << 20
NAMES = SentPart("dataset", "dataset.names", "list of str", 60 * MIB, 0.1, 0.1, None)
PIXELS = SentPart("dataset", "dataset.pixels", "ndarray", 900 * MIB, 0.1, 0.1, None)
CODES = {"copy-on-write", "memory-growth"}


def copied(uss, rss, shared_dirty, method="fork"):
    """What worker 0 of a trial of one second copied, by its readings in MiB."""
    trace = synthetic.make_trace(num_workers=1, batches=200, step_ns=5 * MS)
    for kind, sizes in (("uss", uss), ("rss", rss), ("shared_dirty", shared_dirty)):
        columns = trace.series_of(SeriesInfo(f"{kind}/worker-0", "memory", kind, "bytes", "worker-0"))
        for number, size in enumerate(sizes, 1):
            columns.append(time_ns=trace.origin_ns + number * SECOND // 4, value=float(size * MIB))
    return measure_trace(trace, config_of(1, start_method=method), 200).memory.workers[0].copied_bytes


def test_pages_that_leave_the_shared_ones_are_copies_even_in_a_short_trial():
    assert copied([10, 50, 90], [240, 240, 241], [220, 180, 141]) == 79 * MIB


def test_memory_that_is_taken_anew_or_was_never_shared_is_no_copy():
    assert copied([10, 50, 90], [240, 280, 320], [220, 220, 220]) == 0
    assert copied([10, 50, 90], [240, 240, 240], [220, 220, 220]) == 0
    assert copied([10], [240], [220]) is None
    assert copied([10, 50, 90], [240, 240, 241], [220, 180, 141], "spawn") is None


def trial(number, copies_mib, kind="copy-on-write", method="fork", **fields):
    workers = [WorkerMemory(number, 90 * MIB, None, None, None, None, copy * MIB) for number, copy in enumerate(copies_mib)]
    memory = Memory(500 * MIB, workers, Estimate(1e6, (1e6, 1e6)), None, kind)
    signs = Signs(growth_bytes_per_s=20 * MIB)
    return made_up(number, config_of(len(copies_mib), start_method=method), 3200, memory=memory, signs=signs, **fields)


def found(*trials, sent=None, start_methods=("fork", "spawn")):
    settings = combine(trials, Training(10))
    environment = {"start_methods": list(start_methods)}
    context = Context(list(trials), settings, None, None, None, Training(10), sent=sent, environment=environment)
    return {finding.code: finding for finding in find_all(context) if finding.code in CODES}


def test_copies_are_said_once_with_the_attribute_that_is_read():
    findings = found(trial(0, [80, 70]), sent=[NAMES, PIXELS])
    assert set(findings) == {"copy-on-write"}
    finding = findings["copy-on-write"]
    assert (finding.severity, finding.trials) == ("warning", [0])
    assert finding.evidence["attribute"] == "dataset.names"
    assert finding.evidence["copied_bytes"] == [80 * MIB, 70 * MIB]
    assert "self.names" in finding.change
    assert (finding.remedy.code, finding.config.start_method) == ("copy-on-write", "spawn")


def test_copies_that_end_within_a_trial_are_told_without_any_slope():
    assert set(found(trial(0, [80, 70], kind=None))) == {"copy-on-write"}


@pytest.mark.parametrize("kind", [None, "new"])
def test_growth_that_is_no_copy_stays_memory_growth(kind):
    assert set(found(trial(0, [5, 5], kind=kind))) == {"memory-growth"}


def test_new_memory_beside_copies_is_not_hidden():
    assert set(found(trial(0, [80, 70], kind="new"))) == CODES


def test_an_attribute_is_named_only_where_it_holds_most_of_the_objects():
    other = SentPart("dataset", "dataset.labels", "dict", 59 * MIB, 0.1, 0.1, None)
    assert found(trial(0, [80, 70]), sent=[NAMES, other])["copy-on-write"].evidence["attribute"] == "dataset.names"
    third = SentPart("dataset", "dataset.paths", "list of Path", 58 * MIB, 0.1, 0.1, None)
    assert found(trial(0, [80, 70]), sent=[NAMES, other, third])["copy-on-write"].evidence["attribute"] is None
    assert found(trial(0, [80, 70]), sent=[PIXELS])["copy-on-write"].evidence["attribute"] is None


def test_spawn_is_compared_where_it_was_measured_and_else_offered_where_it_exists():
    spawned = made_up(1, config_of(2, start_method="spawn"), 6400, peak_bytes=900 * MIB)
    finding = found(trial(0, [80, 70]), spawned)["copy-on-write"]
    assert finding.remedy is None
    assert finding.gain_s.value == pytest.approx(50)
    assert "2.00 times the throughput" in finding.message
    assert found(trial(0, [80, 70]), start_methods=["fork"])["copy-on-write"].remedy is None
