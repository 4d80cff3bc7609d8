"""What a wait was spent on, in words for the timeline and the table of late batches."""

from __future__ import annotations

from loaderscope.analysis.late_batches import NO_WORKER, Cause

_BY_WORKER = {
    Cause.START: "{worker} was starting for {time}",
    Cause.INDEX: "{worker} had no indices for {time}",
    Cause.FETCH: "{worker} fetched {time}",
    Cause.COLLATE: "{worker} collated {time}",
    Cause.SEND: "{worker} sent {time}",
}
_BY_MAIN = {
    Cause.QUEUE: "it lay behind others in the queue for {time}",
    Cause.RECEIVE: "main received it for {time}",
    Cause.SAMPLER: "main drew and handed out indices for {time}",
    Cause.UNKNOWN: "what took {time} was not recorded",
}

MEANINGS = {
    Cause.START: "the worker started: its process, imports, unpickling",
    Cause.INDEX: "the worker waited for indices",
    Cause.FETCH: "the dataset was read",
    Cause.COLLATE: "samples were put together to a batch",
    Cause.SEND: "the batch was serialised and written into the pipe to main",
    Cause.QUEUE: "sent, while main unpacked batches that came before it",
    Cause.RECEIVE: "under way to main, unpacked, pinned",
    Cause.SAMPLER: "main drew the indices of a batch from the sampler, and handed them to a worker",
    Cause.UNKNOWN: "nothing was recorded that tells",
}


def worker_text(worker: int) -> str:
    """Who makes batches: worker 2, or main."""
    return "main" if worker == NO_WORKER else f"worker {worker}"


def cause_text(worker: int, cause: Cause, time: str) -> str:
    """What so much time of a wait was spent on: worker 2 fetched 310 ms."""
    return (_BY_WORKER.get(cause) or _BY_MAIN[cause]).format(worker=worker_text(worker), time=time)


def batches_text(count: int) -> str:
    """1 batch, 12 batches."""
    return f"{count} {'batch' if count == 1 else 'batches'}"
