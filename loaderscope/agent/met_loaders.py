"""Remembers the DataLoaders that the script iterates, with what their iterations show."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, Dict, List, Optional

from . import loader_evidence, loaders
from .error_sentences import Place
from .loader_evidence import TRAINING, UNKNOWN, Evidence
from .made_loaders import constructor_call_of
from .messages import CapturedLoader, MetLoader
from .user_frames import callers


class _Met:
    """A loader that was iterated.

    Attributes:
        loader: the loader itself.
        facts: all that was known at its first iter(), without evidence.
        evidence: from its newest iter().
        batches: how many it gave; None where nobody counts.
        added_clauses: what was seen besides its iterations.
    """

    def __init__(self, loader: Any, facts: MetLoader, evidence: Evidence) -> None:
        self.loader = loader
        self.facts = facts
        self.evidence = evidence
        self.batches: Optional[int] = None
        self.added_clauses: List[str] = []


class MetLoaders:
    """The loaders that were iterated so far, in the order of their first iterations."""

    def __init__(self) -> None:
        self._met: Dict[int, _Met] = {}

    def __len__(self) -> int:
        return len(self._met)

    def meet(self, loader: Any, number: int) -> Evidence:
        """Records the iter() that leads to this call.

        Args:
            loader: the loader that is iterated.
            number: which of the iterated loaders it is, if it is new.
        """
        frames = list(callers(sys._getframe(1)))
        evidence = loader_evidence.evidence_of(loader, frames)
        met = self._of(loader)
        if met is None:
            frame = loader_evidence.iterating_frame(frames)
            iterated = None if frame is None else Place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
            self._met[number] = _Met(loader, _facts(loader, number, iterated), evidence)
        else:
            met.evidence = evidence
        return evidence

    def number_of(self, loader: Any) -> int:
        """The number of a loader that was met."""
        return next(number for number, met in self._met.items() if met.loader is loader)

    def verdict_of(self, loader: Any) -> Optional[str]:
        """The verdict of a loader's newest iter(); None for a loader that was not met."""
        met = self._of(loader)
        return None if met is None else met.evidence.verdict

    def first_with(self, verdict: str) -> Optional[int]:
        """The number of the first loader with a verdict; None if there is none."""
        return next((number for number, met in self._met.items() if met.evidence.verdict == verdict), None)

    def largest_unknown(self) -> Optional[int]:
        """The number of the loader with the most samples among those without evidence."""
        unknown = [number for number, met in self._met.items() if met.evidence.verdict == UNKNOWN]
        return max(unknown, key=lambda number: self._met[number].facts.length or 0) if unknown else None

    def reason_of(self, number: int) -> str:
        """The clause that decided about a loader; empty without evidence."""
        return self._met[number].evidence.reason

    def choice(self, loader: Any) -> CapturedLoader:
        """The loader that is iterated now as the one that a number names, with a reason if the script trains with it."""
        number = self.number_of(loader)
        trains = self._met[number].evidence.verdict == TRAINING
        return CapturedLoader(number, self.reason_of(number) if trains else "", self.rows(loader))

    def add_clause(self, loader: Any, clause: str) -> None:
        """Adds to the evidence of a loader that was met."""
        met = self._of(loader)
        if met is not None and clause not in met.added_clauses:
            met.added_clauses.append(clause)

    def count_batch(self, loader: Any) -> int:
        """Counts a batch that a loader gives; returns how many it gave, this one included."""
        met = self._of(loader)
        if met is None:
            return 0
        met.batches = (met.batches or 0) + 1
        return met.batches

    def rows(self, current: Any = None) -> List[MetLoader]:
        """All loaders for the app; `current` is the one that is iterated now, all others have been left."""
        rows = []
        for met in self._met.values():
            was_left = met.batches is not None and met.loader is not current
            clauses = [*met.evidence.clauses, *met.added_clauses, *([_taken_text(met.batches or 0)] if was_left else [])]
            rows.append(dataclasses.replace(met.facts, evidence=clauses))
        return rows

    def _of(self, loader: Any) -> Optional[_Met]:
        return next((met for met in self._met.values() if met.loader is loader), None)


def _taken_text(batches: int) -> str:
    return "one batch of it was taken" if batches == 1 else "%d batches of it were taken" % batches


def _facts(loader: Any, number: int, iterated: Optional[Place]) -> MetLoader:
    call = constructor_call_of(loader)
    function = "" if iterated is None or iterated.function.startswith("<") else iterated.function
    return MetLoader(
        number,
        type(loader).__name__,
        made=None if call is None else _text(call.place),
        iterated=_text(iterated),
        function=function,
        dataset=type(loader.dataset).__name__,
        dataset_kind=loaders.dataset_kind(loader.dataset),
        length=loaders.length_of(loader),
        batch_size=_batch_size(loader),
        shuffles=loader_evidence.shuffles(loader),
        current=loaders.current_config(loader),
        evidence=[],
    )


def _batch_size(loader: Any) -> Optional[int]:
    """The loader's batch size, or that of its own batch sampler if it names one."""
    size = loader.batch_size if loader.batch_size is not None else getattr(loader.batch_sampler, "batch_size", None)
    return size if isinstance(size, int) and size >= 0 else None


def _text(place: Optional[Place]) -> Optional[str]:
    return None if place is None else "%s:%d" % (place.file, place.line)
