"""Work for another thread of which only the newest answer counts."""

import threading
import weakref

import pytest
import shiboken6
from PySide6.QtCore import QObject

from loaderscope.gui.run.background_work import NewestOnly


@pytest.fixture
def owner(qapp):
    """What the answers are for."""
    return QObject()


def test_what_is_asked_for_meanwhile_is_replaced_by_what_is_asked_for_last(qtbot, owner):
    answers, go_on = [], threading.Event()
    latest = NewestOnly(answers.append, owner)
    latest.ask(lambda: go_on.wait(10) and "first")
    for name in ("second", "third", "fourth"):
        latest.ask(lambda name=name: name)
    go_on.set()
    qtbot.waitUntil(lambda: not latest.busy, timeout=5000)
    assert answers == ["first", "fourth"]


def test_answers_come_in_the_thread_that_asked(qtbot, owner):
    threads = []
    latest = NewestOnly(lambda _answer: threads.append(threading.current_thread()), owner)
    latest.ask(lambda: 1)
    qtbot.waitUntil(lambda: bool(threads), timeout=5000)
    assert threads == [threading.current_thread()]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_work_that_fails_does_not_hold_up_what_comes_after(qtbot, owner):
    answers = []
    latest = NewestOnly(answers.append, owner)
    latest.ask(lambda: 1 // 0)
    latest.ask(lambda: "after")
    qtbot.waitUntil(lambda: answers == ["after"], timeout=5000)


def test_answers_for_what_was_deleted_meanwhile_are_dropped(qtbot, owner):
    answers, go_on = [], threading.Event()
    latest = NewestOnly(answers.append, owner)
    latest.ask(lambda: go_on.wait(10) and "first")
    latest.ask(lambda: "second")
    shiboken6.delete(owner)
    go_on.set()
    qtbot.waitUntil(lambda: not latest.busy, timeout=5000)
    assert not answers


def test_an_answer_is_held_by_nobody_once_it_was_taken(qtbot, owner):
    class Answer:
        pass

    kept = []
    latest = NewestOnly(lambda answer: kept.append(weakref.ref(answer)), owner)
    latest.ask(Answer)
    qtbot.waitUntil(lambda: bool(kept) and kept[0]() is None, timeout=5000)
