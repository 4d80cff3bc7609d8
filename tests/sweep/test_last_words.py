"""What a process was doing when it hung, in words."""

import pytest

from loaderscope.agent.layout import State
from loaderscope.sweep.processes.last_activity import longest_activity
from loaderscope.trace.model import OpenSpan, Trace, batch_id


@pytest.mark.parametrize(
    ("state", "batch", "words"),
    [
        (State.ITERATOR, -1, "main was in iterator (for 2.0 s)"),
        (State.WAIT, -1, "main was waiting for a batch (for 2.0 s)"),
        (State.COLLATE, batch_id(1, 7), "main was collating batch 7 (for 2.0 s)"),
    ],
)
def test_only_what_is_done_to_batches_is_told_with_one(state: State, batch: int, words: str) -> None:
    trace = Trace()
    trace.open_spans = (OpenSpan("main", 0, int(state), 1_000_000_000, batch),)
    assert longest_activity(trace, 3_000_000_000) == words
