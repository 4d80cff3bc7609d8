"""The event log: what is written is readable from outside at once, whatever happens to the process."""

import json
import os
import signal
import subprocess
import sys
import threading

import logs
import pytest

from loaderscope.agent import eventlog, layout
from loaderscope.agent.layout import Role, State

KIND = (State.INDEX_PUT << layout.FORM_BITS) | layout.INSTANT
MORE_THAN_TWO_SEGMENTS = 2 * layout.SEGMENT_RECORDS + 5


def test_records_come_back_as_written(log_dir):
    log = eventlog.EventLog(str(log_dir), Role.WORKER, 3)
    log.write(KIND, 7, -1)
    log.write_at(12345, KIND, (1 << 63) - 1, -(1 << 63), layout.PIN_THREAD)
    (read,) = logs.read_logs(log_dir)
    assert read.header == {
        "version": layout.LAYOUT_VERSION, "pid": os.getpid(), "parent_pid": os.getppid(), "role": "worker", "worker": 3,
        "opened_ns": log.opened_ns, "first": 0,
    }  # fmt: skip
    assert [(record.a, record.b, record.thread, record.sequence) for record in read.records] == [
        (7, -1, layout.MAIN_THREAD, 1),
        ((1 << 63) - 1, -(1 << 63), layout.PIN_THREAD, 2),
    ]
    assert read.records[0].time_ns >= log.opened_ns
    assert read.records[1].time_ns == 12345
    assert read.records[0].state == State.INDEX_PUT


def test_a_chain_of_segments_keeps_every_record_and_only_the_newest_mapped(log_dir):
    log = eventlog.EventLog(str(log_dir), Role.MAIN)
    for number in range(MORE_THAN_TWO_SEGMENTS):
        log.write(KIND, number)
    (read,) = logs.read_logs(log_dir)
    assert [record.a for record in read.records] == list(range(MORE_THAN_TWO_SEGMENTS))
    assert [record.sequence for record in read.records] == list(range(1, MORE_THAN_TWO_SEGMENTS + 1))
    files = sorted(log_dir.glob("*.events"))
    assert [file.stat().st_size for file in files] == [layout.SEGMENT_BYTES] * 3
    with open("/proc/self/maps") as maps:
        mapped = sum(str(log_dir) in line for line in maps)
    assert mapped == 1
    assert log.close() == MORE_THAN_TWO_SEGMENTS


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps"), reason="reads /proc")
def test_own_memory_can_be_told_from_the_number_of_records(log_dir):
    log = eventlog.EventLog(str(log_dir), Role.MAIN)
    count = layout.SEGMENT_RECORDS + 1000
    for number in range(count):
        log.write(KIND, number)
    resident, inside = 0, False
    with open("/proc/self/smaps") as maps:
        for line in maps:
            if "-" in line.split(maxsplit=1)[0] and not line.split(maxsplit=1)[0].endswith(":"):
                inside = str(log_dir) in line
            elif inside and line.startswith("Rss:"):
                resident += int(line.split()[1]) * 1024
    # The kernel may map some pages around a touched one.
    assert layout.own_mapped_bytes(count) <= resident + 4096 <= layout.own_mapped_bytes(count) + 128 * 1024


def test_values_that_do_not_fit_become_unknown_and_never_raise(log_dir):
    log = eventlog.EventLog(str(log_dir), Role.MAIN)
    log.write(KIND, 1 << 63, -(1 << 63) - 1)
    log.write(KIND, 2, "text")
    (read,) = logs.read_logs(log_dir)
    assert [(record.a, record.b) for record in read.records] == [(-1, -1), (2, -1)]


def test_threads_lose_no_record(log_dir):
    log = eventlog.EventLog(str(log_dir), Role.MAIN)
    each = 15_000
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda lane=lane: [log.write(KIND, n, 0, lane) for n in range(each)]) for lane in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    (read,) = logs.read_logs(log_dir)
    for lane in range(3):
        assert [record.a for record in read.records if record.thread == lane] == list(range(each))


KILLED = """
import os, signal, sys
from loaderscope.agent import eventlog
log = eventlog.EventLog(sys.argv[1], "main")
for number in range(40_000):
    log.write({kind}, number)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_sigkill_loses_nothing(log_dir):
    ended = subprocess.run([sys.executable, "-c", KILLED.format(kind=KIND), str(log_dir)], check=False)
    assert ended.returncode == -signal.SIGKILL
    (read,) = logs.read_logs(log_dir)
    assert [record.a for record in read.records] == list(range(40_000))


FULL_DISK = """
import resource, sys
from loaderscope.agent import eventlog, layout
log = eventlog.EventLog(sys.argv[1], "main")
resource.setrlimit(resource.RLIMIT_FSIZE, (layout.HEADER_BYTES, layout.HEADER_BYTES))
for number in range(2 * layout.SEGMENT_RECORDS):
    log.write({kind}, number)
print(log.stopped)
print(log.close())
"""


def test_a_full_disk_stops_recording_and_not_the_process(log_dir):
    ended = subprocess.run([sys.executable, "-c", FULL_DISK.format(kind=KIND), str(log_dir)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (read,) = logs.read_logs(log_dir)
    assert [record.a for record in read.records] == list(range(layout.SEGMENT_RECORDS))
    reason = "Recording of this process stopped: File too large."
    assert read.header[layout.Header.STOPPED] == reason
    assert ended.stdout.splitlines() == [reason, str(layout.SEGMENT_RECORDS)]
    assert [file.name.partition(".")[2] for file in log_dir.iterdir()] == ["0000.events"], "a segment that could not be made must not stay"


def test_no_room_for_the_first_segment_is_an_error_for_the_caller(log_dir, monkeypatch):
    def no_room(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    with pytest.raises(OSError, match="No space left"):
        eventlog.EventLog(str(log_dir), Role.MAIN)
    assert list(log_dir.iterdir()) == []


def test_a_file_system_that_cannot_allocate_ahead_gets_zeros(log_dir, monkeypatch):
    def unsupported(*_arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    log = eventlog.EventLog(str(log_dir), Role.MAIN)
    log.write(KIND, 1)
    (file,) = log_dir.iterdir()
    assert file.stat().st_blocks * 512 >= layout.SEGMENT_BYTES, "not sparse"
    (read,) = logs.read_logs(log_dir)
    assert [record.a for record in read.records] == [1]


def test_names_are_told_by_line_number(log_dir):
    log = eventlog.EventLog(str(log_dir), Role.MAIN)
    assert [log.add_name("torch"), log.add_name("numpy")] == [0, 1]
    log.flush_names()
    assert log.add_name("line\nbreak \u00e4\U0001f600") == 2
    log.flush_names()
    log.flush_names()
    (file,) = log_dir.glob("*" + layout.NAMES_SUFFIX)
    assert [json.loads(line) for line in file.read_text().splitlines()] == ["torch", "numpy", "line\nbreak \u00e4\U0001f600"]


def test_a_name_may_be_added_while_names_are_written(log_dir, monkeypatch):
    log = eventlog.EventLog(str(log_dir), Role.MAIN)

    def quoted_after_an_import(text):
        if text == "torch":
            log.add_name("imported for the writing")
        return json.dumps(text)

    monkeypatch.setattr(eventlog, "quoted", quoted_after_an_import)
    log.add_name("torch")
    log.flush_names()
    log.flush_names()
    (file,) = log_dir.glob("*" + layout.NAMES_SUFFIX)
    assert [json.loads(line) for line in file.read_text().splitlines()] == ["torch", "imported for the writing"]


def test_closing_drops_later_records(log_dir):
    log = eventlog.EventLog(str(log_dir), Role.MAIN)
    write = log.write
    write(KIND, 1)
    assert log.close() == 1
    write(KIND, 2)
    log.write(KIND, 3)
    (read,) = logs.read_logs(log_dir)
    assert [record.a for record in read.records] == [1]
