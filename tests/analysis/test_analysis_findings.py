"""Findings: what they say, of which setting, and what they must not say."""

import dataclasses

import msgspec
import pytest
from rows import config_of, failed, made_up, measure
from synthetic import MS

from loaderscope.agent import error_sentences
from loaderscope.agent.messages import Consumer
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.findings import Context, find_all
from loaderscope.analysis.recommend import recommend
from loaderscope.analysis.startup.preloading import ForkServer
from loaderscope.analysis.training import training_of
from loaderscope.analysis.verdict import summarise
from loaderscope.facts.evidence import Signs
from loaderscope.facts.request import Request
from loaderscope.facts.results import EpochTimes, Memory, WorkerMemory
from loaderscope.facts.startup_results import Culprit, ImportCost, LineCost, Phase, SentPart, Startup

MIB = 1 << 20


def context_of(trials, current=None, consumer=None, train_epochs=10, sent=None, server=None):
    training = training_of(Request("/x/train.py", train_epochs=train_epochs), trials, current)
    settings = combine(trials, training)
    recommendation = recommend(settings, trials, current, 4, 0, training)
    return Context(trials, settings, recommendation, current, consumer, training, sent=sent, server=server)


def find(trials, **context):
    return find_all(context_of(trials, **context))


def words(findings):
    return msgspec.json.encode(findings).decode("utf-8")


def waiting(number, workers, wait, rate=1000.0, **fields):
    return made_up(number, config_of(workers), rate, wait_share=wait, step_share=1 - wait, other_share=0.0, **fields)


def test_without_a_consumer_there_is_no_verdict():
    findings = find([measure(100, num_workers=workers, step_ns=None, length=32_000) for workers in (0, 1, 2)], consumer=Consumer("none"))
    assert not [finding for finding in findings if "bound" in finding.code]
    assert "GPU" not in words(findings)
    assert not find([measure(100, num_workers=2, step_ns=None, length=32_000)])


@pytest.mark.parametrize(("wait", "code"), [(0.5, "input-bound"), (0.1, "partly-input-bound"), (0.01, "compute-bound")])
def test_the_verdict_follows_the_share_of_waiting(wait, code):
    (finding,) = find([waiting(0, 2, wait)])
    assert finding.code == code
    assert f"{wait * 100:.0f} % of the time" in finding.message


def test_advice_compares_with_other_settings_only_where_there_are_some():
    (alone,) = find([waiting(0, 2, 0.5)])
    assert alone.advice.startswith("No other setting was measured")
    among_others = find([waiting(0, 0, 0.5), waiting(1, 2, 0.5)])[0]
    assert among_others.advice.startswith("No measured setting is much faster")


def test_no_sentence_names_a_gpu_that_was_not_seen():
    findings = find([waiting(0, 0, 0.6), waiting(1, 2, 0.01, 4000)])
    assert findings
    assert "GPU" not in words(findings)


def test_with_a_device_the_verdict_rests_on_its_idle_time_and_not_on_waiting():
    findings = find([waiting(0, 2, 0.9, gpu_busy_share=0.98, data_stall_share=0.01)])
    assert findings[0].code == "compute-bound"
    assert "the GPU idles" in findings[0].message


def test_warnings_are_about_the_current_setting():
    trials = [waiting(0, 0, 0.8), waiting(1, 2, 0.5, 2000), waiting(2, 4, 0.3, 4000)]
    (warning,) = [finding for finding in find(trials, current=config_of(2)) if finding.severity == "warning"]
    assert warning.trials == [1]
    assert "4 workers · fork · batch 32: 2.0 times the throughput" in warning.advice


def test_without_a_current_setting_warnings_are_about_the_recommended_one():
    trials = [waiting(0, 0, 0.8), waiting(1, 2, 0.5, 2000), waiting(2, 4, 0.3, 4000)]
    findings = find(trials)
    assert [finding.trials for finding in findings if finding.severity == "warning"] == [[2]]
    assert [finding.trials for finding in findings if finding.severity == "info"] == [[0, 1]]


def spawned(number, **fields):
    culprit = Culprit("main_import", "worker-0 imports the script again; the import of torch takes 2.00 s of it", 2.5)
    startup = Startup(0.99, culprit, [Phase(0, "worker-0", "first_fetch", 2.9, 0.05)])
    return made_up(number, config_of(2, start_method="spawn"), 3200, first_batch_s=3.0, startup=startup, **fields)


def test_start_up_that_is_paid_every_epoch_names_culprit_and_saving():
    (finding,) = find([spawned(0)])
    assert finding.code == "start-up-every-epoch"
    assert finding.severity == "warning"
    assert "torch takes 2.00 s" in finding.message
    assert finding.evidence["saved_s"] == pytest.approx(9 * 2.9)
    assert "persistent_workers=True" in finding.advice


def test_workers_that_the_loader_keeps_are_not_paid_every_epoch():
    assert find([spawned(0, keeps_workers=True)]) == []


def test_start_up_of_another_setting_than_the_users_is_information():
    findings = find([made_up(0, config_of(2), 3200), spawned(1)], current=config_of(2))
    assert [(finding.code, finding.severity) for finding in findings] == [("start-up-every-epoch", "info")]


def test_cheap_or_persistent_start_up_is_no_finding():
    assert not find([spawned(0)], train_epochs=1)
    assert not find([dataclasses.replace(spawned(0), config=config_of(2, persistent_workers=True))])
    assert not find([measure(100, length=32_000, step_ns=None)])


def test_failures_are_told_once_a_kind_with_their_remedy():
    trials = [
        failed(0, config_of(1), "not-picklable", "a lambda"),
        failed(1, config_of(2), "not-picklable", "a lambda"),
        made_up(2, config_of(0), 10),
    ]
    (finding,) = find(trials)
    assert (finding.code, finding.severity, finding.trials) == ("not-picklable", "error", [0, 1])
    assert finding.message.endswith("with 1 worker · fork · batch 32 and 2 workers · fork · batch 32: a lambda.")
    assert "top level" in finding.advice


def test_what_is_pickled_for_each_batch_is_no_matter_of_the_start_method():
    trials = [
        failed(0, config_of(1), "not-picklable", "dataset.file is an open file.", route="start"),
        failed(1, config_of(2), "not-picklable", "batch[0] is a lock.", route="batch"),
        failed(2, config_of(3), "not-picklable", "indices[0] is a lock.", route="indices"),
    ]
    started, batches, indices = find(trials)
    assert [finding.trials for finding in (started, batches, indices)] == [[0], [1], [2]]
    assert "spawn and forkserver" in started.advice
    for finding in (batches, indices):
        assert finding.code == "not-picklable"
        assert "under every start method" in finding.advice
    assert "batches cannot be sent" in batches.message
    assert "sampler" in indices.advice


@pytest.mark.parametrize(
    ("kind", "cause", "words"),
    [
        ("limit", error_sentences.FILE_DESCRIPTORS, "ulimit -n"),
        ("limit", error_sentences.DISK, "TMPDIR"),
        ("limit", error_sentences.PAGING_FILE, "paging file"),
        ("worker-died", error_sentences.SHARED_MEMORY, "--shm-size"),
        ("worker-died", error_sentences.KILLED, "ran out of memory"),
        ("agent-died", error_sentences.KILLED, "ran out of memory"),
        ("worker-died", error_sentences.NATIVE_CRASH, "native code"),
        ("agent-died", error_sentences.NATIVE_CRASH, "native code"),
    ],
)
def test_every_cause_of_a_death_or_a_limit_gets_the_advice_that_fits_it(kind, cause, words):
    (finding,) = find([failed(0, config_of(4), kind, "It ended.", "killed", cause=cause)])
    assert words in finding.advice


def test_the_sentence_of_an_error_does_not_decide_its_advice():
    for kind in ("worker-died", "agent-died", "limit"):
        (plain,) = find([failed(0, config_of(4), kind, "It ended.", "killed")])
        for words in ("signal Killed", "Bus error", "SIGSEGV", "the disk is full", "out of file descriptors"):
            (finding,) = find([failed(0, config_of(4), kind, words, "killed")])
            assert finding.advice == plain.advice


def test_the_start_of_the_fork_server_is_paid_once():
    phases = [Phase(0, "main", "server_start", 0.0, 2.8), Phase(0, "worker-0", "first_fetch", 2.95, 0.01)]
    startup = Startup(1.0, Culprit("server_start", "the forkserver starts, once", 2.8), phases)
    config = config_of(1, start_method="forkserver", forkserver_preload=("torch",))
    assert not find([made_up(0, config, 3200, first_batch_s=3.0, startup=startup)])


def test_an_exception_of_the_user_keeps_its_own_words():
    (finding,) = find([failed(0, config_of(0), "ValueError", "data.py, line 7: bad sample (sample 17)")])
    assert finding.code == "trial-failed"
    assert "bad sample (sample 17)" in finding.message


def started(number, workers=2, method="spawn", phases=(), **parts):
    startup = Startup(1.0, None, [Phase(0, "worker-0", *phase) for phase in phases], **parts)
    return made_up(number, config_of(workers, start_method=method), 3200, first_batch_s=2.0, startup=startup)


SENT_ROWS = [SentPart("dataset", "dataset.rows", "list of Row", 50_000_000, 0.9, 0.9, None)]


def causes(trials, **context):
    return {finding.code: finding for finding in find(trials, train_epochs=1, **context)}


def test_an_attribute_that_dominates_what_is_sent_gets_its_remedy():
    phases = [("pickle", 0.0, 0.8), ("unpickle", 1.0, 0.9)]
    finding = causes([started(0, phases=phases)], sent=SENT_ROWS)["large-pickle"]
    assert (finding.severity, finding.trials) == ("warning", [0])
    assert "dataset.rows (a list of Row, 50 MB): 800 ms to pickle and 900 ms to unpickle" in finding.message
    assert "NumPy or Arrow arrays instead of a list of Python objects" in finding.advice
    assert not causes([started(0, phases=phases)], sent=None), "nothing was weighed"
    assert not causes([started(0, method="fork")], sent=SENT_ROWS), "a fork sends nothing"


@pytest.mark.parametrize(
    ("type_name", "words"), [("ndarray", "mmap_mode"), ("list of str", "relative to a root"), ("Tokenizer", "Build it in the worker")]
)
def test_the_remedy_fits_what_is_sent(type_name, words):
    part = SentPart("dataset", "dataset.x", type_name, 50_000_000, 0.9, 0.9, None)
    assert words in causes([started(0, phases=[("pickle", 0.0, 0.8)])], sent=[part])["large-pickle"].advice


def test_slow_code_in_unpickling_is_told_and_a_function_of_few_bytes_is_not_blamed_for_it():
    function = SentPart("collate_fn", "collate_fn", "function", 66, 1e-5, 1e-5, None)
    phases = [("pickle", 0.0, 0.001), ("unpickle", 1.0, 4.0)]
    found = causes([started(0, phases=phases)], sent=[function, SentPart("dataset", "dataset.__setstate__()", "dict", 0, 0.0, None, None)])
    assert set(found) == {"slow-unpickle"}
    assert "4.00 s of that in code that runs then: dataset.__setstate__()." in found["slow-unpickle"].message
    imported = [ImportCost("package.data", 3.9, 3.9, None, 1.05, "unpickle")]
    assert set(causes([started(0, phases=phases, imports=imported)], sent=[function])) == {"heavy-imports"}


def test_the_datasets_own_code_in_pickling_is_told_without_bytes():
    prepared = SentPart("dataset", "dataset.__getstate__()", "dict", 0, 3.0, 0.0, None)
    finding = causes([started(0, phases=[("pickle", 0.0, 3.0)])], sent=[prepared])["large-pickle"]
    assert "is sent dataset.__getstate__() (a dict): 3.00 s to pickle" in finding.message
    assert "runs for every worker" in finding.advice


def test_a_tensor_is_moved_into_shared_memory_once_and_not_sent_to_every_worker():
    tensor = SentPart("dataset", "dataset.x", "Tensor", 363, 1.1, 1e-5, None, shared_bytes=1_200_000_000)
    finding = causes([started(0, phases=[("pickle", 0.0, 2.7)])], sent=[tensor])["large-pickle"]
    assert "the 1.2 GB of dataset.x (a Tensor) are moved into shared memory" in finding.message
    assert "every worker" not in finding.message
    assert "mmap=True" in finding.advice


def test_serial_starts_are_told_of_the_worst_setting_and_warned_of_where_they_are_the_users():
    def serial(number, workers):
        return started(number, workers, phases=[("start_worker", second, 1.0) for second in range(workers)], serial_starts=True)

    trials = [serial(0, 2), serial(1, 4), made_up(2, config_of(1), 3200)]
    assert causes(trials, current=config_of(2, start_method="spawn"))["serial-starts"].trials == [0]
    assert causes(trials, current=config_of(1))["serial-starts"].trials == [1]
    assert causes(trials, current=config_of(1))["serial-starts"].severity == "info"


def test_a_line_of_the_script_and_a_heavy_import_are_told_apart():
    torch = ImportCost("torch", 0.4, 1.3, None, 0.1)
    lines = [LineCost(3, "import torch", 1.3, 1.3), LineCost(9, "data = Data()", 0.9, 0.1)]
    found = causes([started(0, imports=[torch], lines=lines)])
    assert set(found) == {"heavy-imports", "expensive-top-level"}
    assert "--forkserver-preload torch" in found["heavy-imports"].advice
    assert "line 9 of it, data = Data(), takes 800 ms" in found["expensive-top-level"].message
    light = [ImportCost("numpy", 0.2, 0.2, None, 0.1)]
    assert not causes([started(0, imports=light, lines=lines[:1])])


def test_preloading_is_advised_with_what_it_takes_where_a_server_would_not_find_the_module():
    trials = [started(0, imports=[ImportCost("mine", 0.4, 1.3, None, 0.1)])]
    elsewhere = ForkServer("/project/train.py", "/elsewhere", "3.12.1", frozenset({"mine"}))
    advice = causes(trials, server=elsewhere)["heavy-imports"].advice
    assert "--forkserver-preload mine" in advice
    assert "Before Python 3.13.8 a fork server does not find mine beside the script" in advice
    assert advice.endswith("start in /project, or name that folder in PYTHONPATH.")
    finding = [
        dataclasses.replace(elsewhere, **change) for change in ({"cwd": "/project"}, {"python": "3.13.8"}, {"beside_script": frozenset()})
    ]
    assert ["PYTHONPATH" in causes(trials, server=server)["heavy-imports"].advice for server in finding] == [False] * 3


def paid(method, imports, preload=None, server=None):
    """The advice about a start that is paid in every epoch."""
    startup = Startup(1.0, None, [Phase(0, "worker-0", "first_fetch", 2.9, 0.05)], imports)
    config = config_of(2, start_method=method, forkserver_preload=preload)
    found = find([made_up(0, config, 3200, first_batch_s=3.0, startup=startup)], server=server)
    return next(finding.advice for finding in found if finding.code == "start-up-every-epoch")


def test_imports_get_advice_only_where_they_take_a_part_of_the_start():
    torch, mine = ImportCost("torch", 0.4, 1.3, None, 0.1), ImportCost("mine", 0.4, 0.9, None, 0.1)
    elsewhere = ForkServer("/project/train.py", "/elsewhere", "3.12.1", frozenset({"mine"}))
    assert "--forkserver-preload torch,mine) spares each start up to 2.20 s of imports." in paid("forkserver", [mine, torch])
    assert "--forkserver-preload torch)" in paid("forkserver", [mine, torch], server=elsewhere)
    assert "Imports that only the training needs" in paid("forkserver", [mine], server=elsewhere)
    assert "Imports that only the training needs" in paid("spawn", [torch, mine])
    assert "Imports" not in paid("spawn", [torch])  # which every loader needs
    assert "preload" not in paid("forkserver", [mine], preload=("torch",))
    assert paid("forkserver", [ImportCost("numpy", 0.1, 0.1, None, 0.1)]).endswith("saves about 26.1 s.")


def test_growing_memory_is_a_finding_about_the_dataset():
    signs = Signs(growth_bytes_per_s=20 * MIB)
    (finding,) = find([made_up(0, config_of(0), 3200), made_up(1, config_of(2), 3200, signs=signs)])
    assert (finding.code, finding.severity, finding.trials) == ("memory-growth", "warning", [1])
    assert "NumPy" in finding.advice  # forked workers copy pages by counting references


def test_large_copies_in_every_worker_are_told():
    memory = Memory(3000 * MIB, [WorkerMemory(worker, 900 * MIB, None, None) for worker in range(2)])
    (finding,) = find([made_up(0, config_of(2, start_method="spawn"), 3200, memory=memory)])
    assert finding.code == "memory-multiplied"
    assert "944 MB of its own, 3.1 GB in all" in finding.message


def test_a_slow_sample_is_named():
    slow = measure(100, sample_events=True, length=32_000, fetch_ns=lambda batch: 300 * MS if batch == 41 else 5 * MS)
    (finding,) = [finding for finding in find([slow]) if finding.code == "slow-sample"]
    assert "Batch 41 of epoch 0 in worker 1" in finding.message
    assert finding.evidence["sample"] in range(41 * 32, 42 * 32)


def test_cold_and_warm_trials_are_told_apart():
    cold, warm = made_up(0, config_of(0), 100, disk_share=0.8), made_up(1, config_of(2), 3200, disk_share=0.01)
    (finding,) = find([cold, warm])
    assert (finding.code, finding.trials) == ("cold-cache", [0])
    assert not find([warm])


def test_the_summary_is_the_recommendation_and_the_gravest_finding():
    context = context_of([spawned(0)])
    text = summarise(context.trials, context.recommendation, find_all(context))
    assert text.startswith("2 workers · spawn · batch 32 finish 10 epochs in about")
    assert "every epoch begins with" in text


def test_the_summary_says_when_nothing_worked():
    context = context_of([failed(0, config_of(0), "ValueError", "data.py, line 7: bad sample")])
    assert summarise(context.trials, None, find_all(context)) == "The only trial failed: data.py, line 7: bad sample."
    two = [failed(0, config_of(0), "ValueError", "bad sample"), failed(1, config_of(1), "worker-died", "Killed.")]
    assert summarise(two, None, find_all(context_of(two))) == "All 2 trials failed, the first of them so: bad sample."
    assert summarise([], None, []) == "No trial was run."


def test_the_summary_says_why_there_is_nothing_to_recommend():
    row = measure(10, num_workers=4)
    assert "40 batches an epoch are enough" in summarise([row], None, [])


def lossy(number, workers, samples, dropped, epochs=1, **fields):
    """A trial whose workers dropped samples; batches have 32."""
    times = [EpochTimes(0.1, 1.0, 0.0, samples // 32 // epochs)] * epochs
    return made_up(number, config_of(workers), 1000, samples=samples, dropped_samples=dropped, epochs=times, **fields)


def test_samples_that_each_worker_drops_are_a_finding_about_the_setting_that_loses_most():
    trials = [lossy(0, 0, 96, 4), lossy(1, 2, 64, 36), lossy(2, 4, 0, 200, epochs=2)]
    (finding,) = [finding for finding in find(trials, current=config_of(2)) if finding.code == "dropped-samples"]
    assert finding.trials == [1, 2]
    assert finding.severity == "warning"
    assert finding.evidence["lost_shares"] == {"1": 0.32, "2": 1.0}
    assert "100 samples" in finding.message and "drop_last" in finding.message


def test_the_one_incomplete_batch_that_is_dropped_without_workers_too_is_no_loss():
    assert "dropped-samples" not in {finding.code for finding in find([lossy(0, 0, 96, 4), lossy(1, 2, 96, 4)])}


def test_more_workers_than_cores_are_compared_with_the_best_within():
    trials = [made_up(workers, config_of(workers), rate) for workers, rate in ((0, 500), (2, 1000), (64, 700))]
    context = dataclasses.replace(context_of(trials, current=config_of(64)), usable_cpus=2)
    (finding,) = [finding for finding in find_all(context) if finding.code == "more-workers-than-cores"]
    assert (finding.trials, finding.severity, finding.evidence["speed_ratio"]) == ([64], "warning", 0.7)
    assert "at most 2" in finding.advice
    enough = dataclasses.replace(context, usable_cpus=64)
    assert "more-workers-than-cores" not in {finding.code for finding in find_all(enough)}


def test_more_workers_than_cores_that_pay_are_information():
    trials = [made_up(workers, config_of(workers), 500 * workers) for workers in (2, 8)]
    (finding,) = [
        finding
        for finding in find_all(dataclasses.replace(context_of(trials, current=config_of(8)), usable_cpus=2))
        if finding.code == "more-workers-than-cores"
    ]
    assert (finding.severity, finding.evidence["speed_ratio"]) == ("info", 4.0)
