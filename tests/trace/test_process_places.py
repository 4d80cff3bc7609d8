"""Where the processes of a trial stand, from the stacks that they wrote."""

import pytest

from loaderscope.trace.process_places import places_text, process_places

MAIN = """\
main (pid 10):
Timeout (0:00:21)!
Thread 0x00007f01 (most recent call first):
  File "/home/me/loaderscope/agent/connection.py", line 73 in _read

Thread 0x00007f02 (most recent call first):
  File "/usr/lib/python3.11/selectors.py", line 415 in select
  File "/home/me/.venv/lib/python3.11/site-packages/torch/utils/data/dataloader.py", line 1275 in _try_get_data
"""
WORKER = """\
worker-{number} (pid {pid}):
Current thread 0x00007f03 [python] (most recent call first):
  File "/usr/lib/python3.11/zipfile.py", line 99 in read
  File "/home/me/train.py", line {line} in __getitem__
  File "/home/me/.venv/lib/python3.11/site-packages/torch/utils/data/_utils/fetch.py", line 54 in fetch
  File "<string>", line 1 in <module>
"""


def worker(number: int, line: int) -> str:
    return WORKER.format(number=number, pid=20 + number, line=line)


def test_the_innermost_frame_of_the_users_own_files_is_named_for_each_process_main_first():
    main, *workers = process_places("\n".join([worker(1, 87), worker(0, 12), MAIN]))
    assert (main.process, main.pid, main.at, main.is_users) == ("main", 10, "selectors.py:415 in select", False)
    assert [place.words for place in workers] == ["worker 0: train.py:12 in __getitem__", "worker 1: train.py:87 in __getitem__"]
    assert all(place.is_users for place in workers)


def test_of_several_dumps_of_a_hanging_process_the_last_one_counts():
    again = worker(0, 12).replace("Current", "Timeout (0:00:21)!\nCurrent") + "Timeout (0:00:21)!\n" + worker(0, 87).partition("\n")[2]
    assert [place.line for place in process_places(again)] == [87]


def test_a_script_within_installed_packages_is_the_users_own():
    script = "/home/me/.venv/lib/python3.11/site-packages/torch/utils/data/dataloader.py"
    (main,) = process_places(MAIN, script)
    assert (main.line, main.is_users) == (1275, True)


def test_workers_that_are_threads_of_main_are_named_beside_it():
    thread = """\
Thread 0x00007f09 (most recent call first):
  File "/home/me/train.py", line 5 in __getitem__
  File "/home/me/loaderscope/agent/thread_loader.py", line 90 in _work

"""
    places = process_places(MAIN.replace("Thread 0x00007f02", thread + "Thread 0x00007f02"))
    assert [(place.process, place.at) for place in places][1:] == [("worker thread", "train.py:5 in __getitem__")]


@pytest.mark.parametrize("text", ["", "main (pid 3):\n", "worker-0 (pid 3):\nThread 0x01 (most recent call first):\n  <no Python frame>\n"])
def test_a_process_without_a_stack_stands_nowhere(text):
    assert process_places(text) == []


def test_processes_at_one_place_are_named_together():
    stacks = "\n".join([MAIN, *(worker(number, 87) for number in range(8)), worker(8, 12)])
    text = places_text(process_places(stacks))
    assert (
        text == "main: selectors.py:415 in select; workers 0, 1, 2, …, 7: train.py:87 in __getitem__; worker 8: train.py:12 in __getitem__"
    )
