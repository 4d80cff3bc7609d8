"""Looks for the DataLoader with which the script trains: runs the script, and decides at each iter() without any training.

A loader that only evaluates, or of which few batches are looked at, is let through. The look ends at the iter() of the first other
one. It never passes a step of an optimizer that would change a weight, nor more than a few batches of a loader that may train: then
the app starts the script again and captures a loader by its number.
"""

from __future__ import annotations

import _thread
import json
import os
import sys
import types
from typing import Any, Callable, Dict, NoReturn, Optional

from . import guard, loader_evidence, loaders, made_loaders
from .batch_counter import BatchCounter
from .error_sentences import UNSUPPORTED, AgentError, Place
from .import_hook import when_imported
from .loader_evidence import CHECK, EVALUATION, TRAINING, UNKNOWN
from .messages import CapturedLoader
from .met_loaders import MetLoaders
from .standstill import write_whole
from .user_frames import callers, innermost_user_place
from .watched_children import LoaderSearch

_MET_SUFFIX = ".met"
"""A child that lets loaders through leaves its choice among them in the file PID.met, in the folder of the search."""

MOST_BATCHES = 10
"""Batches that a loader may give while the look goes on; one that evaluates may give more, where another is made that shuffles."""

FAR_LARGER = 4
"""A loader that is made and has this many times the samples is waited for."""

Message = Dict[str, Any]
Capture = Callable[[Any, CapturedLoader], NoReturn]
Answer = Callable[[Message, Any], NoReturn]


class Look:
    """One look. It ends exactly once, by capturing a loader, by an answer from inside the script, or by `end`."""

    def __init__(self, search: LoaderSearch, capture: Capture, answer: Answer, lets_all_through: bool, is_child: bool = False) -> None:
        """Starts nothing yet.

        Args:
            search: counts the loaders, and makes children of the script look, too.
            capture: called with a loader and the choice inside its iter(); does not return.
            answer: sends a message and serves the app from inside the script; called with the loader that was used last, if any; does not
                return.
            lets_all_through: whether to stop at no iter() and after any number of batches.
            is_child: whether the script has started this process.
        """
        self._search = search
        self._capture = capture
        self._answer = answer
        self._lets_all_through = lets_all_through
        self._pid = os.getpid()
        self._is_child = is_child
        self._met = MetLoaders()
        self._counter = BatchCounter(self._on_batch)
        self._ends = _thread.allocate_lock()  # held for ever by whoever ends the look
        self._last: Any = None  # the loader that was iterated or gave a batch last
        self._step_hook: Any = None
        self._watches = False

    def start(self) -> None:
        """Watches iterations, batches and steps from now on."""
        self._watches = True
        made_loaders.set_iteration_callback(self.meet)
        made_loaders.set_iterator_wrapper(self._counter.wrap)
        when_imported("torch.optim.optimizer", self._watch_steps)

    def stop(self) -> None:
        """Removes every hook."""
        self._watches = False
        made_loaders.set_iteration_callback(None)
        made_loaders.set_iterator_wrapper(None)
        self._counter.undo()
        if self._step_hook is not None:
            self._step_hook.remove()
            self._step_hook = None

    def end(self, why: str) -> Message:
        """Ends the look; returns the answer `again` for the app, with the loader that fits best among those that were met.

        The script's threads stop at their next iteration, batch or step.

        Args:
            why: how the look ended, for the sentence on a loader without evidence.
        """
        if not self._ends.acquire(False):
            return _again(None)
        return _again(self._best(why))

    def end_after_script(self, how: str) -> Optional[Message]:
        """Ends the look when the script has ended; returns None if it iterated no loader.

        Does not return if the look has ended already: its answer must stay the only one.
        """
        if not self._ends.acquire(False):
            guard.wait_forever()
        choice = self._best(how)
        return None if choice is None else _again(choice)

    def meet(self, loader: Any) -> None:
        """Decides about a loader at its iter(): returns to let it through."""
        self._adopt_fork()
        if self._ends.locked():
            guard.wait_forever()
        self._search.count(loader)
        evidence = self._met.meet(loader, self._search.passed_count - 1)
        self._last = loader
        why = None if self._lets_all_through else self._why_here(loader, evidence)
        if why is not None:
            self._end_at(loader, why)
        if self._is_child:
            self._leave_word()

    def _why_here(self, loader: Any, evidence: loader_evidence.Evidence) -> Optional[str]:
        """Why to capture a loader at this iter(); None to let it through."""
        if evidence.verdict == TRAINING:
            return evidence.reason
        if evidence.verdict != UNKNOWN:
            return None
        if evidence.loop_loader is not None and self._met.verdict_of(evidence.loop_loader) is None:
            return None
        better = self._better_clause(loader, evidence.trains_elsewhere)
        if better is None:
            return "nothing shows that it only evaluates, and no other loader that is made shuffles or is far larger"
        self._met.add_clause(loader, better)
        return None

    def _better_clause(self, loader: Any, trains_elsewhere: bool) -> Optional[str]:
        """Says which loader that is made and not yet used is worth waiting for; None if there is none."""
        length = loaders.length_of(loader)
        for other in made_loaders.live_loaders():
            if other is loader or self._met.verdict_of(other) not in (None, CHECK):
                continue
            where = _where_made(other)
            if loader_evidence.shuffles(other):
                return "another loader is made%s that shuffles" % where
            if trains_elsewhere:
                return "its loop does not train, other code does, and another loader is made%s" % where
            other_length = loaders.length_of(other)
            if length is not None and other_length is not None and other_length >= FAR_LARGER * length:
                return "another loader is made%s with %d samples, this one has %d" % (where, other_length, length)
        return None

    def _end_at(self, loader: Any, why: str) -> NoReturn:
        if not self._ends.acquire(False):
            guard.wait_forever()
        self.stop()
        number = self._met.number_of(loader)
        self._capture(loader, CapturedLoader(number, why, self._met.rows(loader)))

    def _adopt_fork(self) -> None:
        """Makes a forked process look by itself from here on: it remembers what its parent has met."""
        if os.getpid() != self._pid:
            self._pid, self._is_child = os.getpid(), True
            self._ends = _thread.allocate_lock()

    def _leave_word(self) -> None:
        """Tells the parent what this child has met: it may end without training."""
        choice = self._best("the process that iterates it ended")
        assert choice is not None  # it has just met a loader
        path = os.path.join(self._search.folder, "%d%s" % (self._pid, _MET_SUFFIX))
        try:
            write_whole(path, choice.to_json())
        except OSError:
            pass  # the app has ended: whoever cleans up after it finds this process by its mark

    def _of_children(self) -> Optional[CapturedLoader]:
        """The choice of the first child that met a loader and was not captured."""
        for name in sorted(os.listdir(self._search.folder)) if self._search.folder else ():
            if name.endswith(_MET_SUFFIX):
                with open(os.path.join(self._search.folder, name), encoding="utf-8") as file:
                    return CapturedLoader.from_json(json.load(file))
        return None

    def _on_batch(self, loader: Any) -> None:
        self._adopt_fork()
        if self._ends.locked():
            guard.wait_forever()
        self._last = loader
        if self._met.count_batch(loader) <= MOST_BATCHES or self._lets_all_through:
            return
        if self._met.verdict_of(loader) == EVALUATION and self._awaited() is not None:
            return
        number = self._met.number_of(loader)
        reason = self._met.reason_of(number)
        went_on = "the script takes more than %d batches of it before it trains with another" % MOST_BATCHES
        self._end_again(CapturedLoader(number, ", although ".join(filter(None, (went_on, reason))), self._met.rows()))

    def _awaited(self) -> Any:
        """The loader that is made, shuffles, and was not iterated: an evaluation that comes first costs only time, however long it is."""
        loaders_made = made_loaders.live_loaders()
        return next((made for made in loaders_made if self._met.verdict_of(made) is None and loader_evidence.shuffles(made)), None)

    def _watch_steps(self, module: types.ModuleType) -> None:
        if self._watches:
            self._step_hook = module.register_optimizer_step_pre_hook(self._before_step)

    def _before_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if not _changes_weights(optimizer, args, kwargs):
            return
        self._adopt_fork()
        if self._ends.locked():
            guard.wait_forever()
        place = innermost_user_place(callers(sys._getframe(1)))
        where = "" if place is None else " (%s)" % str(place)
        if self._last is None:
            error = AgentError(
                UNSUPPORTED,
                "the script trains%s before it iterates a DataLoader, so it was stopped there; --target captured:0 lets it train up to its "
                "first DataLoader" % where,
                *_file_and_line(place),
            )
            self._end_with({"type": "failed", "error": error.info.to_json()})
        number = self._met.number_of(self._last)
        self._met.add_clause(self._last, "a step of an optimizer follows its batches")
        self._end_again(CapturedLoader(number, "a step of an optimizer follows its batches%s" % where, self._met.rows()))

    def _end_again(self, choice: CapturedLoader) -> NoReturn:
        self._end_with(_again(choice))

    def _end_with(self, message: Message) -> NoReturn:
        if not self._ends.acquire(False):
            guard.wait_forever()
        self._answer(message, self._last)

    def _best(self, why: str) -> Optional[CapturedLoader]:
        if not len(self._met):
            return self._of_children()
        training, unknown = self._met.first_with(TRAINING), self._met.largest_unknown()
        if training is not None:
            return CapturedLoader(training, self._met.reason_of(training), self._met.rows())
        if unknown is not None:
            return CapturedLoader(unknown, "%s, and it had met no loader that trains" % why, self._met.rows())
        number, which = self._met.first_with(EVALUATION), "the first that evaluates"
        if number is None:
            number = self._met.first_with(CHECK)
            assert number is not None
            which = "the first (%s)" % self._met.reason_of(number)
        reason = "%s: only loaders that it does not train with were met, and this is %s" % (why, which)
        awaited = self._awaited()
        if awaited is not None:
            reason += "; another that is made%s shuffles: --look gives the look more time, --target names a loader" % _where_made(awaited)
        return CapturedLoader(number, reason, self._met.rows())


def _where_made(loader: Any) -> str:
    """Says where a loader is made, in brackets with a space before; empty where that is unknown."""
    call = made_loaders.constructor_call_of(loader)
    return "" if call is None or call.place is None else " (%s:%d)" % (os.path.basename(call.place.file), call.place.line)


def _again(choice: Optional[CapturedLoader]) -> Message:
    return {"type": "again", "captured": None if choice is None else choice.to_json()}


def _changes_weights(optimizer: Any, args: Any, kwargs: Any) -> bool:
    """Whether a step changes anything: schedulers have scripts call a first step without any gradient."""
    if len(args) > 1 or kwargs.get("closure") is not None:  # `args` begins with the optimizer
        return True
    return any(parameter.grad is not None for group in optimizer.param_groups for parameter in group["params"])


def _file_and_line(place: Optional[Place]) -> "tuple[Optional[str], Optional[int]]":
    return (None, None) if place is None else (place.file, place.line)
