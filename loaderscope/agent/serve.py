"""Serves the app: answers its requests one after another, on the main thread, where the user's code would run without us."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
import threading
import time
from typing import AbstractSet, Any, Callable, Dict, List, NoReturn, Optional

from . import (
    attach,
    capture,
    guard,
    instrument,
    leftovers,
    line_output,
    loader_look,
    loaders,
    made_loaders,
    standstill,
    targets,
    training_step,
    training_trial,
    trial_failure,
    trials,
    watched_children,
    weigh,
)
from .connection import Answer, Connection, dial
from .error_sentences import UNSUPPORTED, AgentError, Place, describe
from .import_timer import ImportTimer
from .messages import FOLDER_VARIABLE, LOOK, LOOK_AT_ALL, CapturedLoader, TrialConfig, TrialOrder
from .met_loaders import MetLoaders
from .script import Script
from .script_failure import describe_exit, describe_failure
from .torch_environment import torch_environment

Message = Dict[str, Any]

_MAX_FOLDER_CHARACTERS = 107 - len("/listener-12345678") if sys.platform.startswith("linux") else 103 - len("/listener-12345678")
"""The path of a socket in the folder must fit into the system's address of a socket (sys/un.h, without the closing NUL)."""


def main(loaded_at_start: AbstractSet[str]) -> None:
    """Dials the app and serves it until it says `exit` or the connection ends.

    Args:
        loaded_at_start: the modules that Python had loaded before the agent's first import.
    """
    guard.become_subreaper()
    line_output.print_lines_at_once()
    instrument.declare_own_threads(1)
    _use_folder(os.environ.pop(FOLDER_VARIABLE, ""))
    agent = Agent(dial(_end_after_app, _ANSWERS), loaded_at_start)
    agent.serve()


def serve_in_child(loader: Any, search: watched_children.LoaderSearch) -> None:
    """Serves the app from a child that the script has spawned: reports at the loader's iter(), and waits there until the app wants it.

    Returns if the child is to go on, in a trial of the training.
    """
    met = MetLoaders()
    met.meet(loader, search.passed_count - 1)
    _serve_running_script(search.folder, loader, met.choice(loader))


def look_in_child(loader: Any, search: watched_children.LoaderSearch) -> None:
    """Looks for the loader that trains in a child that the script has spawned, from the iter() of its first loader on."""

    def capture_loader(loader: Any, choice: CapturedLoader) -> NoReturn:
        _serve_running_script(search.folder, loader, choice)
        guard.wait_forever(parents_too=_is_child)

    def answer(message: Message, loader: Any) -> NoReturn:
        _use_folder(search.folder)
        Agent(None, frozenset()).answer_from_script(message, loader)

    look = loader_look.Look(search, capture_loader, answer, lets_all_through=False, is_child=True)
    look.start()
    look.meet(loader)


def _serve_running_script(folder: str, loader: Any, choice: CapturedLoader) -> None:
    """Serves the app in a child from inside the iter() of the loader that was chosen; returns if the child is to go on."""
    line_output.print_lines_at_once()
    _use_folder(folder)
    agent = Agent(None, frozenset())
    try:
        script = Script.of_running_process(capture.user_files(sys._getframe(1)))
        captured = capture.captured_here(script, loader, choice)
    except AgentError as error:
        agent.answer_from_script({"type": "failed", "error": error.info.to_json()}, loader)
    agent.use_running_script(script)
    agent.serve_from_iter(captured)


def _answer_where() -> Message:
    place = capture.place_of_main()
    return {"type": "where", "place": None if place is None else place._asdict()}


_look: Optional[loader_look.Look] = None
"""The look for the loader that trains, from its start on."""


def _answer_end_look() -> Message:
    return {"type": "again", "captured": None} if _look is None else _look.end("the time for it was up")


_training: Optional[training_trial.TrainingTrial] = None
"""The trial of the training, from its start on."""


def _end_left_training() -> None:
    if _training is not None:
        _training.end_if_left()


_ANSWERS: Dict[str, Answer] = {"where": _answer_where, "end_look": _answer_end_look, "end_if_left": _end_left_training}


def _use_folder(folder: str) -> None:
    """Makes multiprocessing put its sockets into the agent's folder, which is removed whatever ends the processes that made them."""
    global _folder
    _folder = folder
    if folder and len(folder) <= _MAX_FOLDER_CHARACTERS:
        multiprocessing.current_process()._config.setdefault("tempdir", folder)  # type: ignore[attr-defined]


_is_child = False
"""Whether this process serves as a child of the script. Its parents then end with it: else they would run on as after a training."""


def _end_with_tree(status: int) -> NoReturn:
    guard.end_with_tree(status, parents_too=_is_child)


def _end_after_app() -> NoReturn:
    """Ends this process and its tree when the connection ends without `exit`: the app has died, so we remove its files, too."""
    guard.end_with_tree(1, parents_too=_is_child, clean_up=_remove_leftovers)


def _remove_leftovers(pids: AbstractSet[int]) -> List[str]:
    if not _folder:
        return []
    app_folder = os.path.dirname(_folder)
    blocks = leftovers.shared_memory_of(pids | leftovers.pids_of_logs(app_folder), _START_UNIX_S)
    leftovers.remove_folder(app_folder)
    return blocks


_START_UNIX_S = time.time()
_folder = ""
"""The folder of the agent's temporary files, inside that of the app; empty where there is none."""


class Agent:
    """Answers the app's requests; `messages` says what each means."""

    def __init__(self, connection: Optional[Connection], loaded_at_start: AbstractSet[str]) -> None:
        """Prepares the agent of this process.

        Args:
            connection: the connection to the app; None in a child of the script, which has none yet.
            loaded_at_start: see `main`.
        """
        self._connection = connection
        self._pid = os.getpid()
        self._loaded_at_start = loaded_at_start
        self._script: Optional[Script] = None
        self._captured: Optional[capture.Captured] = None
        self._feed: Optional[trials.Feed] = None
        self._unread: Optional[weigh.UnreadState] = None
        self._answered_from_script = False
        self._imports = ImportTimer()
        self._prepared: Optional[training_trial.TrainingTrial] = (
            None  # before the script runs, for a loader whose constructor starts workers
        )
        self._training: Optional[training_trial.TrainingTrial] = None  # once it has begun

    def serve(self) -> None:
        """Answers requests until the process ends; also from inside an iter() of the script.

        Returns only if the script is to go on, in a trial of the training.
        """
        handlers: Dict[str, Callable[[Message], Message]] = {
            "load": self._load,
            "attach": self._attach,
            "probe": self._probe,
            "weigh": self._weigh,
            "clock": lambda message: {"type": "clock", "clock_ns": time.perf_counter_ns()},
            "trial": self._trial,
        }
        connection = self._connection
        assert connection is not None
        while True:
            try:
                message = connection.receive()
            except KeyboardInterrupt:  # Ctrl-C reaches every process of a terminal; the script must not run on
                _end_with_tree(130)
            kind = message["type"]
            if kind == "welcome":
                continue
            if kind == "exit":
                _flush()
                _end_with_tree(0)
            try:
                handler = handlers.get(kind)
                if handler is None:
                    raise AgentError(UNSUPPORTED, "the agent knows no request called %s" % kind)
                if kind == "trial" and self._begins_training(TrialOrder.from_json(message["trial"])):
                    return
                answer = handler(message)
            except BaseException as error:  # the border to the user's code: every exception becomes an answer
                answer = {"type": "failed", "error": describe_failure(error).to_json()}
            _flush()
            connection.send(answer)

    def use_running_script(self, script: Script) -> None:
        """Serves a script that this process runs already."""
        self._script = script

    def _load(self, message: Message) -> Message:
        script = self._script = Script(message["script"], message.get("module"))
        script.set_up_process(message.get("args") or [], message.get("cwd"), self._loaded_at_start, _folder)
        made_loaders.install()
        if message.get("trial") is not None:
            self._prepare_training(TrialOrder.from_json(message["trial"]), int(message["number_in_constructors"]))
        try:
            with self._imports:
                answer = self._run_script(script, message.get("capture"))
        except BaseException as error:
            self._after_script(error)
            raise
        self._after_script(None)
        return self._loaded_answer(script) if answer is None else answer

    def _run_script(self, script: Script, number: Any) -> Optional[Message]:
        """Runs the script as far as `capture` of the message `load` says; returns the answer of a look."""
        looks = number in (LOOK, LOOK_AT_ALL)
        search = watched_children.start_watching(script.name, None if looks else int(number or 0), _folder)
        if looks:
            return capture.run_look(script, self._new_look(script, search, number == LOOK_AT_ALL))
        if number is None:
            capture.run_module(script, search, self.serve_from_iter)
        else:
            capture.run_program(script, search, self.serve_from_iter)
        return None

    def _after_script(self, error: Optional[BaseException]) -> None:
        """Does what must follow the end of the script in its main thread; returns if the app's request is still to be answered."""
        training = self._training
        if training is not None:
            _run_exit_functions()
            failure = error.__cause__ or error if isinstance(error, AgentError) else error
            if isinstance(failure, SystemExit) and failure.code in (None, 0):
                failure = None
            info = error.info if isinstance(error, AgentError) else None
            if isinstance(failure, SystemExit):  # what the load says of it ends "before it iterated ...", but the loader was iterated
                info = describe_exit(failure, _BEFORE_ENOUGH, os.getcwd())
            training.end_after_script(failure, info)
        if self._captured is not None or self._answered_from_script:  # a thread of the script serves the requests
            guard.wait_forever(parents_too=_is_child)
        watched_children.stop_watching()

    def _new_look(self, script: Script, search: watched_children.LoaderSearch, lets_all_through: bool) -> loader_look.Look:
        def serve(loader: Any, choice: CapturedLoader) -> NoReturn:
            self.serve_from_iter(capture.captured_here(script, loader, choice))
            guard.wait_forever(parents_too=_is_child)

        global _look
        _look = loader_look.Look(search, serve, self.answer_from_script, lets_all_through)
        return _look

    def answer_from_script(self, answer: Message, loader: Any) -> NoReturn:
        """Answers the unanswered `load` from inside the script, which goes no further, and serves the app; perhaps in a child.

        Args:
            answer: the message.
            loader: the DataLoader that the script used last; None if it used none.
        """
        self._answered_from_script = True
        if self._is_in_child():
            self._report_and_wait(capture.place_of_main(), loader)
        _flush()
        assert self._connection is not None
        self._connection.send(answer)
        self.serve()
        guard.wait_forever(parents_too=_is_child)

    def serve_from_iter(self, captured: capture.Captured) -> None:
        """Serves the app from inside an iter() of the script, perhaps in a child; returns if the script is to go on."""
        script = self._script
        assert script is not None
        self._imports.stop()
        if self._is_in_child():
            self._report_and_wait(captured.place, captured.loader)
            captured = captured._replace(child_of=os.environ.get(watched_children.SCRIPT_VARIABLE) or script.name)
        watched_children.stop_watching()
        self._captured = captured
        try:
            answer = self._loaded_answer(script)
        except Exception as error:
            answer = {"type": "failed", "error": describe(error).to_json()}
        _flush()
        assert self._connection is not None
        self._connection.send(answer)
        self.serve()

    def _is_in_child(self) -> bool:
        return self._connection is None or os.getpid() != self._pid

    def _report_and_wait(self, place: Optional[Place], loader: Any) -> None:
        """Waits in a child until the app wants it to serve."""
        global _is_child
        standstill.report_and_wait(_folder, place, loader)
        _is_child = True
        guard.become_subreaper()
        self._connection = dial(_end_after_app, _ANSWERS)
        self._connection.receive()  # its welcome: the app does not accept a greeting that other messages follow at once

    def _loaded_answer(self, script: Script) -> Message:
        discovered = targets.discover(script, self._captured)
        return {
            "type": "loaded",
            "targets": [target.to_json() for target in discovered],
            "notes": script.notes,
            "has_step": training_step.has_step(script.namespace),
            "environment": torch_environment(instrument.install()),
            "imports": [{**row, "beside_script": script.is_beside_script_only(str(row["name"]))} for row in self._imports.heavy_packages()],
        }

    def _attach(self, message: Message) -> Message:
        if self._script is None:
            raise AgentError(UNSUPPORTED, "no script is loaded")
        target, self._feed = attach.attach(self._script, self._captured, message["target"], message.get("arguments") or {})
        self._unread = weigh.UnreadState(self._feed.dataset)
        return {"type": "attached", **attach.attached_answer(target, self._feed)}

    def _probe(self, message: Message) -> Message:
        sample, seconds = attach.probe(self._attached_feed())
        return {"type": "probed", "sample": sample, "seconds": seconds}

    def _weigh(self, message: Message) -> Message:
        feed = self._attached_feed()
        return {"type": "weighed", "parts": weigh.weigh(feed, self._unread or weigh.UnreadState(feed.dataset))}

    def _trial(self, message: Message) -> Message:
        order = TrialOrder.from_json(message["trial"])
        feed = self._attached_feed()
        self._check_main_guard(order.config)
        try:
            outcome = trials.run_trial(order, feed)
        except Exception as error:
            raise AgentError.of(trial_failure.explain(error, feed, order)) from error
        return {"type": "trial_done", "status": "ok", "outcome": outcome.to_json()}

    def _prepare_training(self, order: TrialOrder, number: int) -> None:
        """Begins a trial of the training where the constructor of a loader iterates it, the `number`-th that does so."""
        prepared = self._prepared = training_trial.TrainingTrial(order, self._finish_trial)

        def on_constructor(loader: Any, loader_number: int) -> None:
            if loader_number == number:
                made_loaders.set_constructor_callback(None)
                prepared.begin_in_constructor(loader)

        made_loaders.set_constructor_callback(on_constructor)

    def _begins_training(self, order: TrialOrder) -> bool:
        """Begins a trial if its consumer is the training itself; returns whether it is.

        Raises:
            AgentError: it cannot begin.
        """
        global _training
        if order.consumer.kind != "training":
            return False
        feed = self._attached_feed()
        if self._captured is None or feed.source is not self._captured.loader:
            raise AgentError(UNSUPPORTED, "only a loader that the script iterates (captured:N) is measured in the training")
        self._check_main_guard(order.config)
        training = self._prepared or training_trial.TrainingTrial(order, self._finish_trial)
        training.begin(feed)
        self._training = _training = training
        self._feed = self._unread = None  # the script may drop its loader, and with it the workers
        self._captured = self._captured._replace(loader=None)
        if _is_child:
            exit_functions = multiprocessing.util.Finalize(
                None, self._child_ends, exitpriority=_FIRST_AT_EXIT
            )  # of a child of multiprocessing
            atexit.register(exit_functions)
        return True

    def _child_ends(self) -> None:
        """Ends the trial of a child whose code has come to its end."""
        assert self._training is not None
        failure = training_trial.pending_failure()
        self._training.end_after_script(failure, None if failure is None else describe_exit(failure, _BEFORE_ENOUGH, os.getcwd()))

    def _finish_trial(self, answer: Message) -> NoReturn:
        """Sends the outcome of a trial of the training, and ends the process: the script does not go on."""
        _flush()
        assert self._connection is not None
        self._connection.send(answer)
        _end_with_tree(0)

    def _check_main_guard(self, config: TrialConfig) -> None:
        """Raises where workers would import a script whose loader is iterated outside of a main guard."""
        captured = self._captured
        if captured is None or captured.unguarded is None or not _starts_processes(config) or self._script is None:
            return
        method = config.start_method or loaders.default_start_method()
        if method != "fork":
            raise capture.main_guard_error(self._script, captured.unguarded, method)

    def _attached_feed(self) -> trials.Feed:
        if self._feed is None:
            raise AgentError(UNSUPPORTED, "no target is attached")
        return self._feed


_FIRST_AT_EXIT = 1000
"""Priority of an exit function of multiprocessing that runs before those of others."""

_BEFORE_ENOUGH = "before it had taken enough batches"


def _run_exit_functions() -> None:
    """Does what Python does at the end of a script: waits for its threads, and calls its exit functions."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()


def _starts_processes(config: TrialConfig) -> bool:
    return config.num_workers > 0 and config.backend != "thread"


def _flush() -> None:
    """Flushes the script's output, so that it leaves before the answer."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # the script closed or replaced it
