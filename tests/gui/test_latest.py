"""Work for another thread of which only the newest answer counts."""

import threading

import pytest

from loaderscope.gui.latest import Latest


def test_what_is_asked_for_meanwhile_is_replaced_by_what_is_asked_for_last(qtbot):
    answers, go_on = [], threading.Event()
    latest = Latest(answers.append)
    latest.ask(lambda: go_on.wait(10) and "first")
    for name in ("second", "third", "fourth"):
        latest.ask(lambda name=name: name)
    go_on.set()
    qtbot.waitUntil(lambda: not latest.busy, timeout=5000)
    assert answers == ["first", "fourth"]


def test_answers_come_in_the_thread_that_asked(qtbot):
    threads = []
    latest = Latest(lambda _answer: threads.append(threading.current_thread()))
    latest.ask(lambda: 1)
    qtbot.waitUntil(lambda: bool(threads), timeout=5000)
    assert threads == [threading.current_thread()]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_work_that_fails_does_not_hold_up_what_comes_after(qtbot):
    answers = []
    latest = Latest(answers.append)
    latest.ask(lambda: 1 // 0)
    latest.ask(lambda: "after")
    qtbot.waitUntil(lambda: answers == ["after"], timeout=5000)
