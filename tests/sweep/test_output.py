"""The reader of an agent's output, on a real pipe."""

from __future__ import annotations

import os

from loaderscope.sweep.processes.agent_output import OutputReader


def test_all_that_was_printed_is_there_once_it_has_settled():
    read_end, write_end = os.pipe()
    reader = OutputReader(os.fdopen(read_end, "rb"), "stderr")
    try:
        for _ in range(300):
            os.write(write_end, b"line\n" * 200)
            reader.settle(5.0)
            assert len(reader.drain()) == 200
    finally:
        os.close(write_end)
        reader.join(5.0)
    reader.settle(5.0)
    assert reader.drain() == []
