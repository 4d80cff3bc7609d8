"""Looks closer at what a worker of a probe trial does with its copy of the dataset, and writes it down for the app.

In each epoch of a worker: hashes of the samples that an iterable dataset yields; the states of random generators, its own and the
process's, at the start and after each of the first batches; and the attributes that change. All of it is read from outside.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any, Dict, List, Optional, Tuple

from . import recorder
from .dataset_walk import Held, attributes_of, generator_digest, global_digests, held_by, place_of_store, sample_digest
from .layout import LOOKS_SUFFIX

MOST_BATCHES = 8
"""So many batches of an epoch are followed one by one."""
MOST_SAMPLES = 256
"""So many samples of an epoch are hashed at most."""
MOST_ATTRIBUTES = 20
"""So many attributes that change are written down at most."""

_look: Optional["_Look"] = None
_init_place: Optional[str] = None


class _Snapshot:
    """Generators and attributes at one moment, by their routes; those of the process itself have the names of their modules."""

    def __init__(self, dataset: Any) -> None:
        self.generators = global_digests()
        self.kinds: Dict[str, str] = {}
        self.held: Dict[str, Held] = {}
        self.classes: Dict[str, Tuple[type, str]] = {}  # of the object that holds it, and its name there
        for attribute in attributes_of(dataset):
            state = generator_digest(attribute.value)
            held = held_by(attribute.value) if state is None else None
            if state is not None:
                self.generators[attribute.route] = state
                self.kinds[attribute.route] = type(attribute.value).__name__
            elif held is not None:
                self.held[attribute.route] = held
            else:
                continue
            self.classes[attribute.route] = type(attribute.owner), attribute.name

    def place_of(self, route: str) -> Optional[str]:
        """Returns "file:line" where the attribute is set; None if unknown."""
        return place_of_store(*self.classes[route]) if route in self.classes else None


class _Look:
    """One epoch of a worker."""

    def __init__(self, dataset: Any, hashes_samples: bool) -> None:
        self._dataset = dataset
        self._hashes_samples = hashes_samples
        self._begin_ns = time.perf_counter_ns()
        self._first = self._newest = _Snapshot(dataset)
        self._states: Dict[str, List[str]] = {route: [] for route in self._first.generators}
        self._change_counts: Dict[str, int] = {}
        self._samples: List[Optional[str]] = []
        self._batches = self._sample_count = 0

    def note_batch(self, samples: Any) -> None:
        """Takes the samples of a batch before they are put together."""
        self._batches += 1
        in_batch = samples if isinstance(samples, list) else [samples]
        self._sample_count += len(in_batch)
        if self._hashes_samples:
            self._samples += [sample_digest(sample) for sample in in_batch[: MOST_SAMPLES - len(self._samples)]]
        if self._batches <= MOST_BATCHES:
            self._compare()

    def _compare(self) -> None:
        before, now = self._newest, _Snapshot(self._dataset)
        for route, states in self._states.items():
            states.append(now.generators.get(route, ""))
        for route, held in now.held.items():
            if before.held.get(route) != held:
                self._change_counts[route] = self._change_counts.get(route, 0) + 1
        self._newest = now

    def write(self) -> None:
        """Writes the look as a line of JSON behind those of earlier epochs."""
        self._compare()
        first, last = self._first, self._newest
        line = {
            "begin_ns": self._begin_ns,
            "end_ns": time.perf_counter_ns(),
            "batches": self._batches,
            "samples": self._sample_count,
            "init": _init_place,
            "hashes": None if not self._hashes_samples or None in self._samples else self._samples,
            "generators": [
                {
                    "name": route,
                    "kind": first.kinds.get(route, ""),
                    "place": first.place_of(route),
                    "start": first.generators[route],
                    "states": states[:MOST_BATCHES],
                }
                for route, states in self._states.items()
                if any(state != first.generators[route] for state in states)
            ],
            "attributes": [
                {
                    "name": route,
                    "place": last.place_of(route),
                    "kind": held.kind,
                    "start": first.held[route].amount,
                    "end": held.amount,
                    "changes": self._change_counts[route],
                }
                for route, held in last.held.items()
                if route in self._change_counts and route in first.held and first.held[route].kind == held.kind
            ][:MOST_ATTRIBUTES],
        }
        _write_line(line)


def note_init(init_fn: Any) -> None:
    """Notes where the user's `worker_init_fn` is defined."""
    global _init_place
    code = getattr(init_fn, "__code__", None)
    _init_place = "%s:%d" % (code.co_filename, code.co_firstlineno) if code is not None else None


def begin(dataset: Any, hashes_samples: bool) -> None:
    """Begins the look at an epoch of this worker, before its first sample is read."""
    global _look
    try:
        _look = _Look(dataset, hashes_samples)
    except Exception as error:  # whatever it meets in the user's objects
        _give_up(error)


def note_batch(samples: Any) -> None:
    """Notes a batch of the epoch, before it is collated."""
    try:
        if _look is not None:
            _look.note_batch(samples)
    except Exception as error:
        _give_up(error)


def end() -> None:
    """Ends the look at an epoch and writes it down."""
    global _look
    look, _look = _look, None
    try:
        if look is not None:
            look.write()
    except Exception as error:
        _give_up(error)


def is_looking() -> bool:
    """Whether a look at an epoch has begun."""
    return _look is not None


def _give_up(error: Exception) -> None:
    """Ends the look at this epoch without a result, and says why: the worker goes on as if nobody looked."""
    global _look
    _look = None
    with contextlib.suppress(OSError):
        _write_line({"error": "%s: %s" % (type(error).__name__, error)})


def _write_line(line: Dict[str, Any]) -> None:
    plan, log = recorder.plan, recorder.log
    if plan is not None and log is not None and log.worker is not None:
        with open(os.path.join(plan.log_dir, "%d%s" % (os.getpid(), LOOKS_SUFFIX)), "a", encoding="utf-8") as file:
            file.write(json.dumps({"worker": log.worker, **line}) + "\n")
