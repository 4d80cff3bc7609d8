"""Chains of segments while they are written: holes, torn ends, new segments, a writer at work."""

import subprocess
import sys

import numpy as np
import pytest
from synthetic import START_NS, LogWriter, Process, Record

from loaderscope.agent import layout
from loaderscope.agent.layout import INSTANT, SEGMENT_RECORDS, Role, State
from loaderscope.trace import log_segments
from loaderscope.trace.log_segments import HOLE_POLLS, SegmentChain
from loaderscope.trace.model import Trace
from loaderscope.trace.process_logs import QUIET_POLLS
from loaderscope.trace.reader import TraceReader


def record(number):
    return Record(START_NS + number, number, -number, State.SAMPLE, INSTANT)


def numbers(found):
    return np.concatenate([records["a"] for records in found]).tolist() if found else []


@pytest.fixture
def writer(log_dir):
    with LogWriter(log_dir, Process(4321, Role.WORKER, 0, START_NS)) as writer:
        yield writer


@pytest.fixture
def chain(log_dir):
    chain = SegmentChain(log_dir, f"4321-{START_NS}")
    yield chain
    chain.close()


def test_each_record_is_read_once(writer, chain):
    assert chain.read() == []
    writer.write(record(i) for i in range(5))
    assert numbers(chain.read()) == [0, 1, 2, 3, 4]
    assert chain.read() == []
    writer.write(record(i) for i in range(5, 2000))
    assert numbers(chain.read()) == list(range(5, 2000))
    assert chain.length == 2000


def test_a_chain_goes_on_in_the_next_segment(writer, chain):
    count = 2 * SEGMENT_RECORDS + 10
    writer.write(record(i) for i in range(SEGMENT_RECORDS))
    assert numbers(chain.read()) == list(range(SEGMENT_RECORDS))
    assert chain.read() == []
    writer.write(record(i) for i in range(SEGMENT_RECORDS, count))
    assert numbers(chain.read()) == list(range(SEGMENT_RECORDS, count))
    assert chain.holes == 0


def test_a_hole_is_waited_for(writer, chain):
    writer.write([record(0)])
    writer.skip()
    writer.write([record(2)])
    assert numbers(chain.read()) == [0]
    assert chain.read() == []
    writer.write_at(1, record(1))
    assert numbers(chain.read()) == [1, 2]
    assert chain.holes == 0


def test_a_hole_that_stays_is_left_out(writer, chain):
    writer.write([record(0)])
    writer.skip(2)
    writer.write([record(3), record(4)])
    found = [number for _ in range(HOLE_POLLS + 2) for number in numbers(chain.read())]
    assert found == [0, 3, 4]
    assert chain.holes == 2


def test_holes_at_the_end_of_a_segment_are_left_out(writer, chain):
    writer.write(record(i) for i in range(SEGMENT_RECORDS - 3))
    writer.skip(3)
    writer.write([record(SEGMENT_RECORDS)])
    found = [number for _ in range(HOLE_POLLS + 2) for number in numbers(chain.read())]
    assert found[-1] == SEGMENT_RECORDS
    assert chain.holes == 3


def test_at_the_end_nothing_is_waited_for(writer, chain):
    writer.write([record(0)])
    writer.skip()
    writer.write([record(2)])
    assert numbers(chain.read(final=True)) == [0, 2]
    assert chain.holes == 1


def test_holes_are_noted_in_the_trace(log_dir, writer):
    writer.write([record(0)])
    writer.skip(2)
    writer.write([record(3)])
    trace = Trace()
    TraceReader(log_dir, trace).finish()
    assert len(trace.points["worker-0"]) == 2
    assert len(trace.notes) == 1 and trace.notes[0].startswith("2 records")


def test_a_segment_made_in_advance_is_no_reason_to_go_on(log_dir, writer, chain):
    writer.write(record(i) for i in range(3))
    (log_dir / f"4321-{START_NS}.0001{layout.SUFFIX}").write_bytes(bytes(layout.SEGMENT_BYTES))
    assert numbers(chain.read()) == [0, 1, 2]
    for _ in range(HOLE_POLLS + 2):
        assert chain.read() == []
    writer.write([record(3)])
    assert numbers(chain.read()) == [3]


def test_a_file_that_is_cut_off_gives_its_whole_records(log_dir, writer, chain):
    writer.write(record(i) for i in range(10))
    path = log_dir / f"4321-{START_NS}.0000{layout.SUFFIX}"
    path.write_bytes(path.read_bytes()[: layout.HEADER_BYTES + 7 * layout.RECORD.size + 5])
    assert numbers(chain.read(final=True)) == list(range(7))


def test_a_header_that_is_being_written_is_looked_at_again(log_dir, writer):
    path = log_dir / f"4321-{START_NS}.0000{layout.SUFFIX}"
    writer.write([record(0)])
    whole = path.read_bytes()
    path.write_bytes(whole[:20] + bytes(len(whole) - 20))
    trace = Trace()
    reader = TraceReader(log_dir, trace)
    assert reader.poll() is False
    path.write_bytes(whole)
    assert reader.poll() is True
    reader.finish()
    assert trace.record_count == 1


def test_where_writes_may_arrive_out_of_order_the_newest_record_waits_a_poll(writer, chain, monkeypatch):
    monkeypatch.setattr(log_segments, "_WEAK_MEMORY", True)
    writer.write([record(0), record(1)])
    assert numbers(chain.read()) == [0]
    writer.write([record(2)])
    assert numbers(chain.read()) == [1]
    assert numbers(chain.read()) == [2]
    assert chain.read() == []


WRITER = """
import mmap, struct, sys
path, count = sys.argv[1], int(sys.argv[2])
record = struct.Struct("<QqqHHI")
with open(path, "r+b") as file:
    memory = mmap.mmap(file.fileno(), 0)
    input()
    for i in range(count):
        record.pack_into(memory, 4096 + i * 32, 5 + i, i, ~i, 29 << 2 | 2, 0, i + 1)
"""


def test_no_torn_record_is_read_while_another_process_writes(log_dir, writer, chain):
    count = SEGMENT_RECORDS
    path = log_dir / f"4321-{START_NS}.0000{layout.SUFFIX}"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(count)], stdin=subprocess.PIPE)
    process.stdin.write(b"\n")
    process.stdin.flush()
    found = 0
    while found < count:
        for records in chain.read():
            expected = np.arange(found, found + len(records))
            np.testing.assert_array_equal(records["a"], expected)
            np.testing.assert_array_equal(records["b"], ~expected)
            np.testing.assert_array_equal(records["time_ns"], expected + 5)
            found += len(records)
        assert found == count or process.poll() in (None, 0)
    process.stdin.close()
    assert process.wait() == 0
    assert chain.holes == 0


def test_points_stay_in_the_order_of_time_where_a_thread_wrote_one_late(writer, log_dir):
    trace = Trace()
    reader = TraceReader(log_dir, trace)
    writer.write([Record(START_NS + 50, 0, 0, State.SAMPLE, INSTANT)])
    reader.poll()
    writer.write([Record(START_NS + 40, 3, 7, State.CONTENTS, INSTANT), Record(START_NS + 60, 1, 0, State.SAMPLE, INSTANT)])
    reader.finish()
    view = trace.points["worker-0"].view()
    assert (view["time_ns"] - START_NS).tolist() == [50, 50, 60]
    assert view["state"].tolist() == [State.SAMPLE, State.CONTENTS, State.SAMPLE]


def left(log_dir):
    return sorted(path.name.partition(".")[2] for path in log_dir.iterdir())


def test_segments_that_are_read_are_deleted_while_the_process_writes(writer, log_dir):
    trace = Trace()
    reader = TraceReader(log_dir, trace, deletes_read=True)
    for first in range(0, 4 * SEGMENT_RECORDS, SEGMENT_RECORDS // 2):
        writer.write(record(i) for i in range(first, first + SEGMENT_RECORDS // 2))
        reader.poll()
        assert len(left(log_dir)) <= 3  # the first, whose header may change, the one that is full, and the newest
    assert trace.record_count == 4 * SEGMENT_RECORDS
    assert left(log_dir)[0] == f"0000{layout.SUFFIX}"


def test_logs_of_a_worker_that_another_one_replaced_are_deleted_and_why_they_stopped_is_kept(writer, log_dir):
    reason = "No space left on device"
    trace = Trace()
    reader = TraceReader(log_dir, trace, deletes_read=True)
    writer.write(record(i) for i in range(5))
    writer.write_header(**{layout.Header.STOPPED: reason})  # of the first segment
    writer.write(record(i) for i in range(5, SEGMENT_RECORDS + 5))
    reader.poll()
    with LogWriter(log_dir, Process(4322, Role.WORKER, 0, START_NS + 1)) as other:
        other.write([record(0)])
        for _ in range(QUIET_POLLS + 3):
            reader.poll()
        assert not list(log_dir.glob(f"4321-*{layout.SUFFIX}"))
        assert list(log_dir.glob(f"4321-*{layout.NAMES_SUFFIX}")) and list(log_dir.glob(f"4322-*{layout.SUFFIX}"))
        reader.finish()
    assert trace.notes == [reason]
    assert trace.record_count == SEGMENT_RECORDS + 6
