"""What is said of threads beside worker processes: the ratio, the lock's part in it, and whether the batches are comparable."""

from rows import config_of, made_up

from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.findings import Context, threads
from loaderscope.analysis.training import Training
from loaderscope.analysis.verdict import summarise
from loaderscope.facts.evidence import Signs


def threads_of(workers, **changes):
    return config_of(workers, **{"backend": "thread", "start_method": None, **changes})


def row(number, config, rate, cpu_share, **fields):
    return made_up(number, config, rate, signs=Signs(fetch_cpu_share=cpu_share), **fields)


def find(*trials, free_threaded=False):
    return threads.find(Context(list(trials), combine(trials, Training(10)), None, None, None, Training(10), free_threaded))


def test_threads_that_fight_over_the_lock_are_told_so():
    (finding,) = find(row(0, config_of(4), 4000, 0.96), row(1, threads_of(4), 1100, 0.24))
    assert "1,100 samples/s, 0.28 times the 4,000 that 4 workers · fork · batch 32 give" in finding.message
    assert "waits for the lock about 75 % of its time" in finding.message
    assert "free-threaded Python (3.13t and newer) there is no such lock" in finding.advice
    assert (finding.severity, finding.trials) == ("info", [1, 0])
    assert finding.evidence["throughput_ratio"] == 0.275


def test_a_fetch_that_waits_does_not_need_the_lock():
    (finding,) = find(row(0, config_of(4), 400, 0.05), row(1, threads_of(4), 410, 0.04))
    assert "computes only 5 % of its time" in finding.message
    assert finding.advice.startswith("A free-threaded Python gains little here.")


def test_a_fetch_that_computes_outside_the_lock_is_not_said_to_wait_for_it():
    (finding,) = find(row(0, config_of(4), 400, 0.95), row(1, threads_of(4), 390, 0.93))
    assert "The GIL costs little: a fetch has a processor 93 % of its time in a thread, and 95 % in a worker process" in finding.message


def test_slower_threads_whose_fetches_have_the_processor_as_in_processes_get_no_verdict():
    """As on a machine that is busy with other things."""
    (finding,) = find(row(0, config_of(4), 400, 0.32), row(1, threads_of(4), 290, 0.27))
    assert "costs" not in finding.message
    assert "cannot be told" in finding.advice


def test_one_thread_has_nobody_to_fight_with():
    (finding,) = find(row(0, config_of(1), 400, 0.95), row(1, threads_of(1), 380, 0.60))
    assert "turns" not in finding.message


def test_an_interpreter_without_the_lock_is_told():
    (finding,) = find(row(0, config_of(4), 4000, 0.96), row(1, threads_of(4), 3900, 0.60), free_threaded=True)
    assert "runs without the GIL" in finding.message
    assert "free-threaded Python" not in finding.advice


def test_the_fastest_start_method_is_what_threads_are_compared_with():
    spawned = config_of(2, start_method="spawn")
    (finding,) = find(row(0, config_of(2), 900, 0.9), row(1, spawned, 1000, 0.9), row(2, threads_of(2), 500, 0.5))
    assert finding.trials == [2, 1]


def test_other_settings_are_not_compared():
    assert find(row(0, config_of(2, prefetch_factor=4), 900, 0.9), row(1, threads_of(2), 500, 0.5)) == []
    assert find(row(0, config_of(2), 900, 0.9)) == []


def test_without_processes_fewer_threads_show_the_lock():
    (finding,) = find(row(0, config_of(0), 900, 0.99), row(1, threads_of(1), 1000, 0.99), row(2, threads_of(4), 1100, 0.25))
    assert "1.10 times the 1,000 that 1 worker · batch 32 · threads gives" in finding.message
    assert "99 % when it is alone; so it waits for the lock about 75 %" in finding.message


def test_batches_that_depend_on_shared_random_state_are_not_comparable():
    shared = row(1, threads_of(2), 1000, 0.9, shared_generators=["numpy", "torch"])
    (finding,) = find(row(0, config_of(2), 1000, 0.9), shared)
    assert "not comparable: the dataset draws from process-wide generators (numpy, torch)" in finding.message
    (finding,) = find(row(0, config_of(2), 1000, 0.9), row(1, threads_of(2), 1000, 0.9, shared_generators=[]))
    assert "comparable" not in finding.message


def test_a_sweep_of_threads_alone_says_why_nothing_is_recommended():
    assert "no setting for threads" in summarise([row(0, threads_of(2), 1000, 0.9)], None, [])
