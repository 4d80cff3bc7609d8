"""Serves the app: one request after another, on the main thread, where the user's code would run without us."""

from __future__ import annotations

import _thread
import multiprocessing
import os
import sys
import time
from typing import AbstractSet, Any, Callable, Dict, List, NoReturn, Optional

from . import (
    attach,
    capture,
    guard,
    instrument,
    leftovers,
    loaders,
    made_loaders,
    standstill,
    targets,
    training_step,
    trial_failure,
    trials,
    watched_children,
    weigh,
)
from .connection import Connection, dial
from .error_sentences import UNSUPPORTED, AgentError, Place, describe
from .import_timer import ImportTimer
from .messages import FOLDER_VARIABLE, TrialConfig, TrialOrder
from .script import Script

Message = Dict[str, Any]

_LONGEST_FOLDER = 107 - len("/listener-12345678") if sys.platform.startswith("linux") else 103 - len("/listener-12345678")
"""The path of a socket in it must fit into the system's address of one (sys/un.h, without the closing NUL)."""


def main(loaded_at_start: AbstractSet[str]) -> None:
    """Dials the app and serves it until it says `exit` or the connection ends.

    Args:
        loaded_at_start: the modules that Python had loaded before the agent's first import.
    """
    guard.become_subreaper()
    instrument.declare_own_threads(1)
    _take_folder(os.environ.pop(FOLDER_VARIABLE, ""))
    agent = Agent(dial(_end_after_app, _ANSWERS), loaded_at_start)
    agent.serve()


def serve_in_child(loader: Any, wanted: watched_children.WantedLoader) -> NoReturn:
    """In a child that the script has spawned, at the wanted loader's iter(): stands still there, then serves the app."""
    _take_folder(wanted.folder)
    agent = Agent(None, frozenset())
    try:
        script = Script.running(capture.user_files(sys._getframe(1)))
        captured = capture.here(script, loader, wanted.number)
    except AgentError as error:
        agent.refuse_inside(error, loader)
    agent.take_script(script)
    agent.serve_inside(captured)


def _where() -> Message:
    place = capture.place_of_main()
    return {"type": "where", "place": None if place is None else place._asdict()}


_ANSWERS = {"where": _where}


def _take_folder(folder: str) -> None:
    """Has multiprocessing put its sockets into the agent's folder, which is removed whatever ends the processes that made them."""
    global _folder
    _folder = folder
    if folder and len(folder) <= _LONGEST_FOLDER:
        multiprocessing.current_process()._config.setdefault("tempdir", folder)  # type: ignore[attr-defined]


_is_child = False
"""Whether this process serves as a child of the script. Its parents then end with it: they would take its end for a training's."""


def _end_with_tree(status: int) -> NoReturn:
    guard.end_with_tree(status, parents_too=_is_child)


def _end_after_app() -> NoReturn:
    """The connection has ended without a word, so the app has: what it would have removed is removed here."""
    guard.end_with_tree(1, parents_too=_is_child, clean_up=_remove_what_is_left)


def _remove_what_is_left(pids: AbstractSet[int]) -> List[str]:
    if not _folder:
        return []
    of_app = os.path.dirname(_folder)
    blocks = leftovers.shared_memory_of(pids | leftovers.pids_of_logs(of_app), _began_unix_s)
    leftovers.remove_folder(of_app)
    return blocks


_began_unix_s = time.time()
_folder = ""
"""Of the agent's temporary files, within that of the app's; empty where there is none."""


def _wait_for_ever() -> NoReturn:
    lock = _thread.allocate_lock()
    lock.acquire()
    while True:
        try:
            lock.acquire()
        except KeyboardInterrupt:
            _end_with_tree(130)


class Agent:
    """Answers the app's requests; see `messages` for what each means."""

    def __init__(self, connection: Optional[Connection], loaded_at_start: AbstractSet[str]) -> None:
        """Takes charge of this process.

        Args:
            connection: to the app; None in a child of the script, which has none yet.
            loaded_at_start: see `main`.
        """
        self._connection = connection
        self._pid = os.getpid()
        self._loaded_at_start = loaded_at_start
        self._script: Optional[Script] = None
        self._captured: Optional[capture.Captured] = None
        self._feed: Optional[trials.Feed] = None
        self._unread: Optional[weigh.Unread] = None
        self._imports = ImportTimer()

    def serve(self) -> NoReturn:
        """Answers requests for ever; also called from inside an iter() of the script."""
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
            except KeyboardInterrupt:  # Ctrl-C reaches every process of a terminal; nothing of the script may run on
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
                answer = handler(message)
            except BaseException as error:  # the border to the user's code: all that it raises becomes an answer
                answer = {"type": "failed", "error": describe(error).to_json()}
            _flush()
            connection.send(answer)

    def take_script(self, script: Script) -> None:
        """Takes a script that runs already."""
        self._script = script

    def _load(self, message: Message) -> Message:
        script = self._script = Script(message["script"])
        script.enter(message.get("args") or [], message.get("cwd"), self._loaded_at_start)
        made_loaders.install()
        number = message.get("capture")
        wanted = watched_children.begin(script.name, int(number or 0), _folder)
        try:
            with self._imports:
                if number is None:
                    capture.run_module(script, wanted, self.serve_inside)
                else:
                    capture.run_program(script, wanted, self.serve_inside)
        finally:
            if self._captured is not None:  # a thread of the script came to the loader, and the requests are served from there
                _wait_for_ever()
            watched_children.end()
        return self._loaded(script)

    def serve_inside(self, captured: capture.Captured) -> NoReturn:
        """Goes on from inside the script's iter(), which may be that of a child."""
        script = self._script
        assert script is not None
        self._imports.stop()
        if self._connection is None or os.getpid() != self._pid:
            self._stand_still(captured.place, captured.loader)
            captured = captured._replace(child_of=os.environ.get(watched_children.SCRIPT_VARIABLE) or script.name)
        watched_children.end()
        self._captured = captured
        try:
            answer = self._loaded(script)
        except Exception as error:
            answer = {"type": "failed", "error": describe(error).to_json()}
        _flush()
        assert self._connection is not None
        self._connection.send(answer)
        self.serve()

    def refuse_inside(self, error: AgentError, loader: Any) -> NoReturn:
        """Stands still in a child of which no script is known, and tells that when the app wants to be served from it."""
        self._stand_still(None, loader)
        assert self._connection is not None
        self._connection.send({"type": "failed", "error": error.info.to_json()})
        self.serve()

    def _stand_still(self, place: Optional[Place], loader: Any) -> None:
        """In a child: until the app wants to be served from here."""
        global _is_child
        standstill.stand_still(_folder, place, loader)
        _is_child = True
        guard.become_subreaper()
        self._connection = dial(_end_after_app, _ANSWERS)
        self._connection.receive()  # its welcome: what comes with a greeting the app takes for no greeting at all

    def _loaded(self, script: Script) -> Message:
        found = targets.discover(script, self._captured)
        return {
            "type": "loaded",
            "targets": [target.to_json() for target in found],
            "has_step": training_step.has_step(script.namespace),
            "environment": _environment(instrument.install()),
            "imports": [{**row, "beside_script": script.alone_finds(str(row["name"]))} for row in self._imports.heavy_packages()],
        }

    def _attach(self, message: Message) -> Message:
        if self._script is None:
            raise AgentError(UNSUPPORTED, "no script is loaded")
        target, self._feed = attach.attach(self._script, self._captured, message["target"], message.get("arguments") or {})
        self._unread = weigh.Unread(self._feed.dataset)
        return {"type": "attached", **attach.facts(target, self._feed)}

    def _probe(self, message: Message) -> Message:
        sample, seconds = attach.probe(self._attached())
        return {"type": "probed", "sample": sample, "seconds": seconds}

    def _weigh(self, message: Message) -> Message:
        feed = self._attached()
        return {"type": "weighed", "parts": weigh.weigh(feed, self._unread or weigh.Unread(feed.dataset))}

    def _trial(self, message: Message) -> Message:
        order = TrialOrder.from_json(message["trial"])
        feed = self._attached()
        config = order.config
        if self._captured is not None and self._captured.unguarded is not None and _starts_processes(config) and self._script is not None:
            method = config.start_method or loaders.default_start_method()
            if method != "fork":
                raise capture.main_guard_error(self._script, self._captured.unguarded, method)
        try:
            outcome = trials.run_trial(order, feed)
        except Exception as error:
            raise AgentError.of(trial_failure.explain(error, feed, order)) from error
        return {"type": "trial_done", "status": "ok", "outcome": outcome.to_json()}

    def _attached(self) -> trials.Feed:
        if self._feed is None:
            raise AgentError(UNSUPPORTED, "no target is attached")
        return self._feed


def _environment(assumptions: Any) -> Dict[str, Any]:
    import torch
    import torch.multiprocessing

    gil = getattr(sys, "_is_gil_enabled", None)
    return {
        "python": sys.version.split()[0],
        "torch": str(torch.__version__),
        "torch_cuda": torch.version.cuda,
        "start_methods": multiprocessing.get_all_start_methods(),
        "sharing_strategies": sorted(torch.multiprocessing.get_all_sharing_strategies()),
        "default_start_method": loaders.default_start_method(),
        "free_threaded": gil is not None and not gil(),
        "torch_assumptions": list(assumptions),
    }


def _starts_processes(config: TrialConfig) -> bool:
    return config.num_workers > 0 and config.backend != "thread"


def _flush() -> None:
    """The script's output must be on its way before the answer is."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # the script closed or replaced it
