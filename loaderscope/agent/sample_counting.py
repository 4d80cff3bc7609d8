"""Counts the samples that the consumer receives: by the user's expression, by the sampler's indices, or by the batches themselves."""

from __future__ import annotations

import operator
import sys
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Sequence, Set

from . import loaders, made_loaders
from .error_sentences import UNSUPPORTED, AgentError
from .samples import is_array
from .sampling import CountingSampler

CountInBatch = Callable[[Any], Optional[int]]


class SampleCounter(NamedTuple):
    """How a trial counts samples.

    Attributes:
        in_batch: returns the samples in a batch, or None if they are unknown; None where the sampler's indices always count.
        sampler: its indices count before `in_batch`, where it gives lists of them; None if they do not count.
        may_regroup: whether the loader may join torch's batches, or split them: then its batches differ from the sampler's lists.
    """

    in_batch: Optional[CountInBatch]
    sampler: Optional[CountingSampler]
    may_regroup: bool = False

    def in_epoch(self, batches: int, by_batches: Optional[int]) -> Optional[int]:
        """Returns the samples in the epoch that has ended, or None if they are unknown.

        Args:
            batches: that the consumer received.
            by_batches: their samples, if `in_batch` counted them.
        """
        by_indices = None if self.sampler is None else self.sampler.sample_count(batches)
        if self.may_regroup and by_indices and by_batches and not 0.5 < by_batches / by_indices < 2:
            return by_batches
        return by_batches if by_indices is None else by_indices

    def notes(self, epochs: Sequence[Any]) -> List[str]:
        """Sentences on how samples were counted, where only the batches show it.

        Args:
            epochs: those that have run, with their `batches` and `samples`.
        """
        if self.in_batch is not _shared_length or not any(epoch.batches for epoch in epochs):
            return []
        if any(epoch.samples is None for epoch in epochs):
            return ["How many samples a batch holds is unknown, so rates are in batches; --samples-of 'len(batch[0])', say, counts them."]
        if self.sampler is not None and self.sampler.sample_count(epochs[-1].batches) is not None:
            return []
        size = next(epoch.samples // epoch.batches for epoch in epochs if epoch.batches)
        return ["Samples are counted by the first dimension of the batches, here %d; --samples-of counts them otherwise." % size]


def sample_counter(
    samples_of: Optional[str], namespace: Mapping[str, Any], loader: Any, sampler: Optional[CountingSampler]
) -> SampleCounter:
    """Returns the counter for a loader.

    Args:
        samples_of: the user's expression of `batch`, which counts before all else; None if there is none.
        namespace: the names of the script, which the expression may use.
        loader: the loader of the trial.
        sampler: counts the loader's indices; None for an iterable dataset, and where there is none.

    Raises:
        AgentError: `samples_of` is no expression.
    """
    if samples_of is not None:
        return SampleCounter(_expression(samples_of, namespace), None)
    if loaders.batch_size_of(loader) is None and (loader.batch_sampler is None or sampler is None):
        return SampleCounter(_shared_length, sampler)
    own_way = made_loaders.iterates_its_own_way(loader)
    return SampleCounter(_collated_length if sampler is None or own_way else None, sampler, own_way)


class ScriptLoopCounter:
    """Counts the samples that the script's own loop receives, without a change to the script's sampler."""

    def __init__(self, in_batch: Optional[CountInBatch], batch_size: int = 0, length: Optional[int] = None) -> None:
        """Counts nothing yet.

        Args:
            in_batch: returns the samples in a batch, or None if they are unknown; None: all batches have the same size.
            batch_size: that size.
            length: samples in an epoch, whose last batch may be smaller; None if unknown, or if such a batch is dropped.
        """
        self._in_batch, self._batch_size, self._length = in_batch, batch_size, length
        self._seen: Optional[int] = 0

    def note_batch(self, batch: Any) -> None:
        """Counts a batch."""
        if self._in_batch is not None and self._seen is not None:
            samples = self._in_batch(batch)
            self._seen = None if samples is None else self._seen + samples

    def end_epoch(self, batches: int) -> Optional[int]:
        """Returns the samples in the epoch that ends, or None if they are unknown.

        Args:
            batches: that the script took.
        """
        seen, self._seen = self._seen, 0
        if self._in_batch is not None:
            return seen
        return batches * self._batch_size if self._length is None else min(batches * self._batch_size, self._length)


def script_loop_counter(samples_of: Optional[str], namespace: Mapping[str, Any], loader: Any) -> ScriptLoopCounter:
    """Returns the counter for a loader that the script itself iterates.

    Args:
        samples_of: see `sample_counter`.
        namespace: see `sample_counter`.
        loader: the loader.

    Raises:
        AgentError: `samples_of` is no expression.
    """
    if samples_of is not None:
        return ScriptLoopCounter(_expression(samples_of, namespace))
    size = loaders.batch_size_of(loader)
    if size is None:
        return ScriptLoopCounter(_shared_length)
    if loaders.dataset_kind(loader.dataset) == "iterable":
        return ScriptLoopCounter(_collated_length)
    drops_last = bool(getattr(loader.batch_sampler, "drop_last", False))
    return ScriptLoopCounter(None, size, None if drops_last else loaders.length_of(loader))


def _expression(text: str, namespace: Mapping[str, Any]) -> CountInBatch:
    """The function that evaluates an expression of `batch` among the names that the script has now.

    Raises:
        AgentError: it is no expression; and later, if it fails or gives no number of samples.
    """
    try:
        compile(text, "<--samples-of>", "eval")
    except (SyntaxError, ValueError) as error:
        raise AgentError(UNSUPPORTED, "--samples-of %s is no expression of Python: %s" % (text, error)) from None
    # A parameter, because a comprehension in the expression sees it too. The line break ends a comment.
    evaluate = eval(compile("lambda batch: (%s\n)" % text, "<--samples-of>", "eval"), dict(namespace))

    def samples_in(batch: Any) -> int:
        try:
            return operator.index(evaluate(batch))
        except Exception as error:  # whatever the user's expression raises
            words = "%s: %s" % (type(error).__name__, error)
            raise AgentError(UNSUPPORTED, "--samples-of %s gives no number of samples for a batch: %s" % (text, words)) from error

    return samples_in


def _shared_length(batch: Any) -> Optional[int]:
    """Samples in a batch that the dataset made itself: the first dimension that all its tensors and arrays share.

    None where they differ, or where a number or text shows that this is no batch but one sample.
    """
    lengths: Set[Optional[int]] = set()
    _collect_lengths(batch, lengths)
    return lengths.pop() if len(lengths) == 1 else None


def _collect_lengths(part: Any, lengths: Set[Optional[int]]) -> None:
    if is_array(part):
        lengths.add(int(part.shape[0]) if len(part.shape) else None)
    elif isinstance(part, (bool, int, float, str, bytes)):
        lengths.add(None)
    elif isinstance(part, (list, tuple)) and part and all(isinstance(item, (str, bytes)) for item in part):
        lengths.add(len(part))
    elif isinstance(part, Mapping):
        for item in part.values():
            _collect_lengths(item, lengths)
    elif isinstance(part, (list, tuple)):
        for item in part:
            _collect_lengths(item, lengths)


def _collated_length(batch: Any) -> Optional[int]:
    """Samples in a batch that a loader collated, from its first tensor's first dimension; None where there is no tensor."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(batch, torch.Tensor):
        return int(batch.shape[0]) if batch.dim() else None
    if isinstance(batch, Mapping):
        parts: List[Any] = list(batch.values())
    elif isinstance(batch, (list, tuple)):
        parts = list(batch)
    else:
        return None
    lengths = (_collated_length(part) for part in parts)
    return next((length for length in lengths if length is not None), None)
