"""The codes of findings, with a plain title and an explanation of each: window, report and terminal name findings by it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class FindingCode:
    """A kind of finding.

    Attributes:
        code: its name in the JSON.
        title: what is wrong, in a few words.
        meaning: how it is known, or what it costs, in a sentence.
    """

    code: str
    title: str
    meaning: str


CODES: tuple[FindingCode, ...] = (
    # failures
    FindingCode("hung", "Nothing happens any more", "No process of the trial made progress within the time limit."),
    FindingCode("worker-died", "A worker died", "The process of a worker ended while the main process waited for its batch."),
    FindingCode("agent-died", "The interpreter died", "The process that ran the trial ended before the trial did."),
    FindingCode("not-picklable", "It cannot be pickled", "What a worker or the main process is to be sent has no pickle."),
    FindingCode("main-guard", "No main guard", "Workers import the script again and run what stands at its top level."),
    FindingCode("limit", "A limit was reached", "The system refused memory, files or processes, or would have."),
    FindingCode("trial-failed", "A trial failed", "The script raised an exception."),
    FindingCode(
        "shared-memory-full", "Shared memory is full", "Batches lie in shared memory until they are consumed, and /dev/shm is too small."
    ),
    FindingCode("too-many-files", "Too many open files", "Each tensor under way may hold a file descriptor, and the limit is reached."),
    FindingCode("paging-file", "The paging file is full", "Each worker that loads torch charges the paging file of Windows."),
    FindingCode("shared-handle", "A handle is shared after fork", "Forked workers share one open file, socket or lock, and its position."),
    FindingCode("cuda-in-worker", "CUDA in a worker", "A worker initialises CUDA or moves tensors there."),
    # what is read
    FindingCode("shared-state", "State that differs between workers", "Each worker changes a copy of its own, which others never see."),
    FindingCode("cache-lost", "A cache that is lost each epoch", "What a worker keeps ends with it, and workers end with each epoch."),
    FindingCode(
        "set-epoch-lost", "set_epoch does not reach the workers", "Persistent workers keep the dataset and sampler that they began with."
    ),
    FindingCode("duplicate-samples", "Samples come more than once", "Workers of an iterable dataset each read what others read, too."),
    FindingCode("idle-workers", "Workers without work", "Some workers of an iterable dataset have nothing to read."),
    FindingCode("dropped-samples", "Samples are dropped", "With drop_last, each worker drops its own incomplete batch."),
    FindingCode("worker-imbalance", "One worker does most of the work", "The shares of the workers differ much."),
    FindingCode("duplicate-seeds", "The same random numbers again", "A generator draws the same numbers in several workers or epochs."),
    FindingCode("states-saved", "A snapshot at each step", "The loader saves its state more often than a checkpoint needs."),
    # where the time goes
    FindingCode("input-bound", "The step waits for data", "Main waits for batches for a large share of the time."),
    FindingCode("partly-input-bound", "The step waits for data at times", "Main waits for batches for a small share of the time."),
    FindingCode("compute-bound", "The step is the bottleneck", "Batches lie ready when main asks for them."),
    FindingCode(
        "sampler-bound", "The sampler is the bottleneck", "Main draws indices one batch after the other: more workers cannot help."
    ),
    FindingCode("cpu-bound", "Fetching computes", "CPU time makes nearly all of the fetches."),
    FindingCode("io-bound", "Fetching waits for the disk", "Fetches wait for bytes that are not in memory."),
    FindingCode("lock-bound", "Fetching waits for a lock", "Fetches wait for a lock or for another process."),
    FindingCode("transfer-bound", "The way to main is the bottleneck", "Sending, receiving and unpacking batches takes the time."),
    FindingCode("slow-sample", "Slow samples hold up the line", "Later batches lie ready behind a late one."),
    FindingCode("small-batches", "Batches are small", "What each batch costs, whatever its size, makes much of its time."),
    FindingCode("prefetch", "The queue has another length than it needs", "It runs empty, or holds memory for nothing."),
    FindingCode("pinned-memory", "Pinned memory", "What pinning gains or costs, with and without it."),
    FindingCode("pin-thread-in-step", "The pin thread slows the step", "It works while a step runs in the same process."),
    FindingCode("cold-cache", "Files came from disk", "The first trials read what later ones find in the page cache."),
    FindingCode("threads", "Threads in place of worker processes", "What the thread backend gains or costs."),
    FindingCode("thread-storm", "More threads than cores", "Threads inside the workers make far more threads than there are cores."),
    FindingCode("main-threads", "Main's threads get in the way", "Without workers, torch's threads take the cores that the fetch needs."),
    FindingCode("cpu-affinity", "Workers may use few cores", "The workers are bound to fewer cores than there are."),
    FindingCode("too-many-workers", "More workers than help", "The throughput is flat or falls above the usable cores."),
    FindingCode("more-workers-than-cores", "More workers than cores", "More workers than usable cores were tried."),
    FindingCode("accelerator-kept-busy", "An accelerator would be kept busy", "Batches come fast enough for the simulated step."),
    FindingCode("accelerator-idles", "An accelerator would idle", "Batches come too slowly for the simulated step."),
    FindingCode("exact-window", "Exact window", "What torch.profiler saw in some steps after the trial."),
    FindingCode("disturbed", "Other programs disturbed the trials", "They took cores that the trials needed."),
    # start-up
    FindingCode("start-up-every-epoch", "Workers start again each epoch", "The start-up is paid once an epoch."),
    FindingCode("loader-remade", "The loader starts again and again", "Workers start for a few batches, and end."),
    FindingCode("large-pickle", "Workers are sent much", "Dataset, collate_fn and the like are pickled for each worker."),
    FindingCode("serial-starts", "Workers start one after the other", "Main pickles what it sends to each in turn."),
    FindingCode("slow-unpickle", "Unpickling runs code", "What a worker is sent runs code when it is unpickled."),
    FindingCode("heavy-imports", "Heavy imports", "Each worker imports these modules when it starts."),
    FindingCode("expensive-top-level", "Expensive lines in the script", "Each worker runs the script's top level again."),
    # memory
    FindingCode("memory-growth", "Memory grows", "The private memory of the workers grows from batch to batch."),
    FindingCode("memory-multiplied", "Each worker has its own copy", "Workers hold much memory each, and together more than main."),
    FindingCode("copy-on-write", "Reading copies shared memory", "Python counts references in the objects, which copies their pages."),
)

_BY_CODE = {one.code: one for one in CODES}


def finding_code(code: str) -> FindingCode:
    """Returns what is known of a code; for one that is not in the table, as in a session of another version, its words."""
    return _BY_CODE.get(code) or FindingCode(code, code.replace("-", " ").capitalize(), "")
