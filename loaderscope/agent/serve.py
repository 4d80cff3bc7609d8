"""Serves the app: one request after another, on the main thread, where the user's code would run without us."""

from __future__ import annotations

import _thread
import multiprocessing
import os
import sys
import time
from typing import AbstractSet, Any, Callable, Dict, NoReturn, Optional

from . import attach, capture, consumers, failures, guard, instrument, loaders, made_loaders, targets, trials, weigh
from .connection import Connection, dial
from .errors import UNSUPPORTED, AgentError, describe
from .import_timer import ImportTimer
from .messages import TrialConfig, TrialOrder
from .script import Script

Message = Dict[str, Any]


def main(loaded_at_start: AbstractSet[str]) -> None:
    """Dials the app and serves it until it says `exit` or the connection ends.

    Args:
        loaded_at_start: the modules that Python had loaded before the agent's first import.
    """
    guard.become_subreaper()
    instrument.declare_own_threads(1)
    agent = Agent(dial(_end_with_tree), loaded_at_start)
    agent.serve()


def _end_with_tree(status: int = 1) -> NoReturn:
    """Ends the tree, then this process, at once: no atexit handler, no finalizer, nothing of the script runs on."""
    try:
        guard.kill_tree()
    finally:
        os._exit(status)


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

    def __init__(self, connection: Connection, loaded_at_start: AbstractSet[str]) -> None:
        self._connection = connection
        self._loaded_at_start = loaded_at_start
        self._script: Optional[Script] = None
        self._captured: Optional[capture.Captured] = None
        self._feed: Optional[trials.Feed] = None
        self._unread: Optional[weigh.Unread] = None
        self._imports = ImportTimer()

    def serve(self) -> None:
        """Answers requests for ever; also called from inside an iter() of the script."""
        handlers: Dict[str, Callable[[Message], Message]] = {
            "load": self._load,
            "attach": self._attach,
            "probe": self._probe,
            "weigh": self._weigh,
            "clock": lambda message: {"type": "clock", "clock_ns": time.perf_counter_ns()},
            "trial": self._trial,
        }
        while True:
            try:
                message = self._connection.receive()
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
            self._connection.send(answer)

    def _load(self, message: Message) -> Message:
        script = self._script = Script(message["script"])
        script.enter(message.get("args") or [], message.get("cwd"), self._loaded_at_start)
        made_loaders.install()
        number = message.get("capture")
        try:
            with self._imports:
                if number is None:
                    capture.run_module(script, self._serve_inside)
                else:
                    capture.run_program(script, int(number), self._serve_inside)
        finally:
            if self._captured is not None:  # a thread of the script came to the loader, and the requests are served from there
                _wait_for_ever()
        return self._loaded(script)

    def _serve_inside(self, captured: capture.Captured) -> None:
        """Goes on from inside the script's iter(); never returns."""
        self._imports.stop()
        self._captured = captured
        assert self._script is not None
        try:
            answer = self._loaded(self._script)
        except Exception as error:
            answer = {"type": "failed", "error": describe(error).to_json()}
        _flush()
        self._connection.send(answer)
        self.serve()

    def _loaded(self, script: Script) -> Message:
        found = targets.discover(script, self._captured)
        return {
            "type": "loaded",
            "targets": [target.to_json() for target in found],
            "has_step": consumers.has_step(script.namespace),
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
            raise AgentError.of(failures.explain(error, feed, order)) from error
        return {"type": "trial_done", "status": "ok", "outcome": outcome.to_json()}

    def _attached(self) -> trials.Feed:
        if self._feed is None:
            raise AgentError(UNSUPPORTED, "no target is attached")
        return self._feed


def _environment(assumptions: Any) -> Dict[str, Any]:
    import torch

    gil = getattr(sys, "_is_gil_enabled", None)
    return {
        "python": sys.version.split()[0],
        "torch": str(torch.__version__),
        "torch_cuda": torch.version.cuda,
        "start_methods": multiprocessing.get_all_start_methods(),
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
