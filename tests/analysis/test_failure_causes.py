"""Findings that prove why trials failed: handles shared since a fork, CUDA in a worker, limits of the system, samples that differ."""

import dataclasses

import pytest
from rows import config_of, failed, made_up

from loaderscope.agent.error_sentences import FILE_DESCRIPTORS, GRADIENTS, SAMPLES_DIFFER, SHARED_MEMORY
from loaderscope.agent.messages import Consumer, SharedHandle
from loaderscope.analysis.findings import Context, trial_failures
from loaderscope.analysis.training import Training

ZIP = SharedHandle("dataset.zip", "zipfile.ZipFile", "file", "zip", "Store", "/me/train.py", 20, "self.zip = zipfile.ZipFile(PATH)")
LOCK = SharedHandle("dataset.lock", "lock", "lock", "lock", "Store", "/me/train.py", 21, "self.lock = threading.Lock()")
IN_WORKER = 'Caught {0} in DataLoader worker process 1.\n  File "/me/train.py", line 24, in __getitem__\n    {1}\n{0}: bad'
OTHER = dataclasses.replace(ZIP, path="dataset.index", name="index")
USES_ZIP = IN_WORKER.format("BadZipFile", "raw = self.zip.read(name)")
ZERO, FORK, SPAWN = config_of(0), config_of(2), config_of(2, start_method="spawn")


def context_of(*trials, **fields):
    return Context(list(trials), [], None, None, Consumer("none"), Training(10, 1.0), **fields)


def found(*trials, **fields):
    return {finding.code: finding for finding in trial_failures.find(context_of(*trials, **fields))}


def shared(number=1, config=FORK, kind="BadZipFile", traceback=USES_ZIP, handles=(ZIP,), status="failed"):
    return failed(number, config, kind, status=status, traceback=traceback, file="/me/train.py", line=24, handles=list(handles))


def test_a_handle_that_forked_workers_share_is_the_cause_where_the_failing_line_uses_it_and_zero_workers_go_well():
    (finding,) = found(made_up(0, ZERO, 100.0), shared()).values()
    assert (finding.code, finding.severity, finding.trials) == ("shared-handle", "error", [1])
    evidence = finding.evidence
    assert (evidence["attribute"], evidence["class"], evidence["made_line"], evidence["line"]) == ("dataset.zip", "zipfile.ZipFile", 20, 24)
    assert (evidence["error"], evidence["trials_without_fork"]) == ("BadZipFile", [0])
    assert "self.zip = zipfile.ZipFile(PATH)" in finding.change


def test_spawn_can_be_tried_only_where_it_was_not_run_and_the_machine_has_it():
    methods = {"start_methods": ["fork", "spawn"]}
    untried = found(shared(), environment=methods)["shared-handle"]
    assert untried.remedy is not None and (untried.config.start_method, untried.config.num_workers) == ("spawn", 2)
    assert untried.evidence["trials_without_fork"] == []
    assert found(shared(), environment={})["shared-handle"].remedy is None
    assert found(shared(), made_up(2, SPAWN, 50.0), environment=methods)["shared-handle"].remedy is None


@pytest.mark.parametrize(
    "trials",
    [
        [shared(handles=())],
        [shared(), failed(0, ZERO, "BadZipFile")],
        [shared(), failed(2, SPAWN, "BadZipFile")],
        [made_up(0, ZERO, 100.0), shared(kind="ValueError", traceback=IN_WORKER.format("ValueError", "raise ValueError"))],
        [shared(kind="EOFError", traceback=IN_WORKER.format("EOFError", "load()"))],
        [made_up(0, ZERO, 100.0), shared(kind="EOFError", traceback=IN_WORKER.format("EOFError", "load()"), handles=(ZIP, OTHER))],
        [made_up(0, ZERO, 100.0), shared(kind="KeyError", traceback=IN_WORKER.format("KeyError", "self.lock.x"), handles=(LOCK,))],
    ],
    ids=["no handle", "fails without workers", "fails with spawn", "other line", "no success without fork", "several", "only a lock"],
)
def test_a_handle_is_not_blamed_without_evidence(trials):
    assert "shared-handle" not in found(*trials)


def test_a_failure_to_pickle_the_handle_for_spawn_says_nothing_against_the_cause():
    codes = found(made_up(0, ZERO, 100.0), shared(), failed(2, SPAWN, "not-picklable"))
    assert set(codes) == {"shared-handle", "not-picklable"}


HANG = """\
main (pid 3):
Thread 0x01 (most recent call first):
  File "/usr/lib/python3.11/selectors.py", line 415 in select

worker-0 (pid 4):
Thread 0x02 (most recent call first):
  File "/me/train.py", line 24 in __getitem__
    {}
"""


def test_a_hang_at_the_lock_that_was_made_before_the_fork_names_it_beside_the_places_of_all_processes():
    hangs = shared(kind="hung", traceback=HANG.format("with self.lock:"), handles=(LOCK,), status="timeout")
    codes = found(made_up(0, ZERO, 100.0), hangs)
    assert set(codes) == {"shared-handle", "hung"}
    assert codes["hung"].evidence["places"] == ["main: selectors.py:415 in select", "worker 0: train.py:24 in __getitem__"]
    assert (codes["hung"].evidence["line"], "train.py:24 in __getitem__" in codes["hung"].message) == (24, True)
    elsewhere = dataclasses.replace(hangs, error=dataclasses.replace(hangs.error, traceback=HANG.format("time.sleep(600)")))
    assert set(found(made_up(0, ZERO, 100.0), elsewhere)) == {"hung"}, "a lock that is fine"


@pytest.mark.parametrize(
    "text",
    ["Cannot re-initialize CUDA in forked subprocess.", "Torch not compiled with CUDA enabled", "Found no NVIDIA driver on your system"],
)
def test_cuda_in_a_worker_is_told_with_its_line_also_where_there_is_none(text):
    told = {"file": "/me/train.py", "line": 24}
    alone = failed(0, ZERO, "AssertionError", text, traceback=text, **told)
    worker = failed(1, FORK, "AssertionError", text, traceback=IN_WORKER.format("AssertionError", "x.cuda()") + text, **told)
    (finding,) = found(alone, worker).values()
    assert (finding.code, finding.trials, finding.evidence["trials_in_workers"]) == ("cuda-in-worker", [0, 1], [1])
    assert (finding.evidence["line"], bool(finding.change)) == (24, True)
    assert set(found(alone)) == {"trial-failed"}, "main may use CUDA"


@pytest.mark.parametrize(
    ("cause", "needs", "code"),
    [
        (FILE_DESCRIPTORS, {"open_files": 400, "open_files_limit": 256}, "too-many-files"),
        (SHARED_MEMORY, {"shared_memory_bytes": 1 << 30, "shared_memory_free_bytes": 1 << 26}, "shared-memory-full"),
    ],
)
def test_a_limit_is_told_with_the_setting_that_breaks_and_the_figures_of_the_forecast(cause, needs, code):
    breaks = [failed(number, config_of(workers), "limit", cause=cause, needs=needs) for number, workers in ((2, 8), (3, 16))]
    environment = {"sharing_strategies": ["file_descriptor", "file_system"]}
    (finding,) = found(made_up(0, ZERO, 100.0), made_up(1, config_of(4), 100.0), *breaks, environment=environment).values()
    assert (finding.code, finding.severity, finding.trials) == (code, "error", [2, 3])
    assert (finding.evidence["breaks_with_workers"], finding.evidence["works_with_workers"]) == (8, 4)
    assert needs.items() <= finding.evidence.items()
    assert (finding.remedy is not None) == (cause == FILE_DESCRIPTORS)
    assert finding.config is None or finding.config.sharing_strategy == "file_system"


def test_a_bus_error_counts_as_full_shared_memory_only_beside_a_need_that_comes_close_to_it():
    def killed(need):
        needs = {"shared_memory_bytes": need, "shared_memory_free_bytes": 64 << 20}
        return failed(1, FORK, "worker-died", status="killed", cause=SHARED_MEMORY, needs=needs)

    assert set(found(killed(60 << 20))) == {"shared-memory-full"}
    assert set(found(killed(1 << 20))) == {"worker-died"}


def test_samples_that_differ_are_one_finding_with_and_without_workers_and_only_shapes_are_padded():
    def differ(number, config, text):
        return failed(number, config, "RuntimeError", f"{text} {number}", cause=SAMPLES_DIFFER, traceback=text)

    shapes = (
        differ(0, ZERO, "stack expects each tensor to be equal size"),
        differ(1, FORK, "Trying to resize storage that is not resizable"),
    )
    (finding,) = trial_failures.find(context_of(*shapes))
    assert (finding.trials, "pad_sequence" in finding.change) == ([0, 1], True)
    (other,) = trial_failures.find(context_of(differ(0, ZERO, "expected scalar type Long")))
    assert other.change == ""


def test_a_batch_with_a_history_of_gradients_is_to_be_detached():
    error = {"route": "batch", "cause": GRADIENTS, "file": "/me/train.py", "line": 11}
    finding = found(failed(0, FORK, "not-picklable", **error))["not-picklable"]
    assert ("detach()" in finding.change, finding.evidence["line"]) == (True, 11)
