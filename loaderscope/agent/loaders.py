"""Builds the loader of a trial: the user's own, with only the swept settings changed."""

from __future__ import annotations

import inspect
import multiprocessing
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from .error_sentences import UNSUPPORTED, AgentError
from .made_loaders import ConstructorCall, constructor_call_of, iterates_its_own_way, keeps_iterator
from .messages import TrialConfig
from .sampling import CountingSampler

DEFAULT_BATCH_SIZE = 32

_KEPT_ARGUMENTS = (
    "dataset",
    "batch_size",
    "num_workers",
    "collate_fn",
    "pin_memory",
    "timeout",
    "worker_init_fn",
    "multiprocessing_context",
    "generator",
    "prefetch_factor",
    "persistent_workers",
    "pin_memory_device",
    "in_order",
)
"""Arguments that a DataLoader keeps as attributes of the same names; `_own_arguments` adds its samplers."""


def dataset_kind(dataset: Any) -> str:
    """How a loader reads a dataset: by index (`map`), or as it iterates (`iterable`)."""
    return kind_of_class(type(dataset))


def kind_of_class(cls: type) -> str:
    """`map` or `iterable`, for a class of datasets."""
    from torch.utils.data import IterableDataset

    return "iterable" if issubclass(cls, IterableDataset) else "map"


def is_loader(feed: Any) -> bool:
    """Whether a target is a DataLoader, not a dataset."""
    from torch.utils.data import DataLoader

    return isinstance(feed, DataLoader)


def length_of(feed: Any) -> Optional[int]:
    """How many samples an epoch of a dataset or loader has; None where only reading it would show that."""
    if is_loader(feed) and dataset_kind(feed.dataset) == "map" and batch_size_of(feed) is not None:
        source = _index_sampler(feed)
    else:
        source = feed.dataset if is_loader(feed) else feed
    try:
        return len(source)
    except Exception:  # no __len__, or one of the user's that raises: unknown either way
        return None


def batch_size_of(loader: Any) -> Optional[int]:
    """The loader's batch size; also where a batch sampler of torch's own class brings it. None for other ways of batching."""
    stock = _stock_batch_sampler(loader)
    size = loader.batch_size if stock is None else stock.batch_size
    return int(size) if isinstance(size, int) else None


def current_config(loader: Any) -> TrialConfig:
    """The settings that the user's loader was made with."""
    workers = int(loader.num_workers)
    batch_size = batch_size_of(loader)
    if not workers:
        return TrialConfig(0, batch_size, pin_memory=bool(loader.pin_memory))
    context = loader.multiprocessing_context
    return TrialConfig(
        workers,
        batch_size,
        prefetch_factor=loader.prefetch_factor,
        pin_memory=bool(loader.pin_memory),
        persistent_workers=bool(loader.persistent_workers),
        start_method=default_start_method() if context is None else context.get_start_method(),
        in_order=bool(getattr(loader, "in_order", True)),
        backend="process",
    )


def default_start_method() -> str:
    """The start method of workers where none is set; reading it here does not fix it, as get_start_method() would."""
    return multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]


def generators_of(feed: Any) -> List[Any]:
    """The generators that a loader and its samplers draw from, each once."""
    if not is_loader(feed):
        return []
    batch_sampler = getattr(feed, "batch_sampler", None)
    owners = [feed, feed.sampler, batch_sampler, getattr(batch_sampler, "sampler", None)]
    generators: List[Any] = []
    for owner in owners:
        generator = getattr(owner, "generator", None)
        if hasattr(generator, "get_state") and all(generator is not other for other in generators):
            generators.append(generator)
    return generators


class Built(NamedTuple):
    """The loader of a trial.

    Attributes:
        sampler: limits and counts its batches; None where its constructor has made an iterator already.
        full_batches: batches in an epoch without a limit, as far as the loader tells.
        notes: sentences on differences from the user's loader.
    """

    loader: Any
    sampler: Optional[CountingSampler]
    full_batches: Optional[int]
    notes: List[str]


def build(
    feed: Any,
    config: TrialConfig,
    shuffle: Optional[bool],
    extras: Dict[str, Callable[..., Any]],
    batches: Optional[int],
) -> Built:
    """Returns the loader of a trial.

    A loader that iterates in its own way is not limited: its consumer must end after `batches`.

    Args:
        feed: the user's Dataset or DataLoader.
        config: the settings of the trial.
        shuffle: None keeps the loader's own order (off for a dataset).
        extras: `collate_fn` and `worker_init_fn` of the script, used for a bare dataset.
        batches: limit per epoch; None for all.

    Raises:
        AgentError: the setting is impossible for this loader.
    """
    settings = _settings(config)
    notes: List[str] = []
    own = is_loader(feed)
    loader = _rebuild(feed, settings, config, shuffle, notes) if own else _from_dataset(feed, settings, config, shuffle, extras)
    if config.backend == "thread" and config.num_workers:
        if keeps_iterator(loader):
            raise AgentError(UNSUPPORTED, "%s starts its workers in its constructor, as processes" % type(loader).__name__)
        if dataset_kind(loader.dataset) == "iterable":
            raise AgentError(UNSUPPORTED, "threads cannot share an iterable dataset: each would need a copy of its own")
        from . import thread_loader

        notes += thread_loader.use_threads(loader)
    full_batches = full_batches_of(loader)
    sampler = None if keeps_iterator(loader) else _limit_batches(loader, None if iterates_its_own_way(loader) else batches)
    return Built(loader, sampler, full_batches, notes)


def _settings(config: TrialConfig) -> Dict[str, Any]:
    """A trial's settings as arguments of DataLoader, without the batch size."""
    settings: Dict[str, Any] = {"num_workers": config.num_workers, "pin_memory": config.pin_memory}
    if not config.num_workers:
        # Torch refuses these without workers, whatever the user's loader had.
        settings.update(prefetch_factor=None, persistent_workers=False, multiprocessing_context=None, timeout=0)
        return settings
    if config.prefetch_factor is not None:
        settings["prefetch_factor"] = config.prefetch_factor
    if config.persistent_workers is not None:
        settings["persistent_workers"] = config.persistent_workers
    if config.start_method is not None:
        if config.start_method not in multiprocessing.get_all_start_methods():
            raise AgentError(UNSUPPORTED, "this system cannot start workers with %s" % config.start_method)
        settings["multiprocessing_context"] = config.start_method
    if config.in_order is not None:
        from torch.utils.data import DataLoader

        if "in_order" in inspect.signature(DataLoader.__init__).parameters:
            settings["in_order"] = config.in_order
        elif not config.in_order:
            raise AgentError(UNSUPPORTED, "in_order=False needs torch 2.6 or newer")
    return settings


def _from_dataset(
    dataset: Any, settings: Dict[str, Any], config: TrialConfig, shuffle: Optional[bool], extras: Dict[str, Callable[..., Any]]
) -> Any:
    from torch.utils.data import DataLoader

    arguments = dict(settings)
    if dataset_kind(dataset) == "map":
        arguments["shuffle"] = bool(shuffle)
    elif shuffle:
        raise AgentError(UNSUPPORTED, "an iterable dataset gives its own order and cannot be shuffled by the loader")
    arguments.update(extras)
    return DataLoader(dataset, batch_size=config.batch_size or DEFAULT_BATCH_SIZE, **arguments)


def _rebuild(loader: Any, settings: Dict[str, Any], config: TrialConfig, shuffle: Optional[bool], notes: List[str]) -> Any:
    """Makes a loader of the same class: by the same call where its class takes the settings, else as a copy."""
    changes = {name: value for name, value in settings.items() if _setting_of(loader, name) != value}
    stock = _stock_batch_sampler(loader)
    fixes_batches = loader.batch_size is None and stock is None
    new_size = None if config.batch_size == batch_size_of(loader) else config.batch_size
    if new_size is not None:
        if fixes_batches:
            what = "a batch_sampler of its own" if loader.batch_sampler is not None else "batch_size=None"
            raise AgentError(UNSUPPORTED, "the loader has %s, so its batch size cannot be set" % what)
        changes["batch_size"] = new_size
    if shuffle is not None and _shuffles(loader) is not shuffle:
        if dataset_kind(loader.dataset) == "iterable":
            if shuffle:
                raise AgentError(UNSUPPORTED, "an iterable dataset gives its own order and cannot be shuffled by the loader")
        elif fixes_batches and loader.batch_sampler is not None:
            raise AgentError(UNSUPPORTED, "the loader has a batch_sampler of its own, so --shuffle cannot be set")
        else:
            if _shuffles(loader) is None:
                replaced = type(_index_sampler(loader)).__name__
                notes.append("the loader's own %s was replaced because --shuffle was given" % replaced)
            changes.update(shuffle=shuffle, sampler=None)
    if stock is not None:
        changes = _in_batch_sampler(loader, stock, changes)
    call = constructor_call_of(loader)
    if call is not None:
        made = _call_again(call, changes)
        if made is not None and all(
            _setting_of(made, name) == value for name, value in {**settings, **changes}.items() if name in _KEPT_ARGUMENTS
        ):
            return made
    if keeps_iterator(loader):
        what = "%s starts its workers in its constructor, which does not take these settings" % type(loader).__name__
        raise AgentError(UNSUPPORTED, what)
    return _copy(loader, {**settings, **changes})


def _setting_of(loader: Any, name: str) -> Any:
    """A loader's setting, in the form of the argument that sets it."""
    value = getattr(loader, name, None)
    return value.get_start_method() if name == "multiprocessing_context" and value is not None else value


def _shuffles(loader: Any) -> Optional[bool]:
    """Whether torch's own sampler shuffles this loader; None for a sampler of the user's."""
    from torch.utils.data import RandomSampler, SequentialSampler

    sampler = _index_sampler(loader)
    if type(sampler) is RandomSampler:
        return True
    return False if type(sampler) is SequentialSampler else None


def _stock_batch_sampler(loader: Any) -> Any:
    """The batch sampler that the user gave, if it is of torch's own class, so that it can be made anew; else None."""
    from torch.utils.data import BatchSampler

    return loader.batch_sampler if loader.batch_size is None and type(loader.batch_sampler) is BatchSampler else None


def _index_sampler(loader: Any) -> Any:
    """The sampler that gives single indices; the loader's own stands idle where a batch sampler was given."""
    stock = _stock_batch_sampler(loader)
    return loader.sampler if stock is None else stock.sampler


def _in_batch_sampler(loader: Any, stock: Any, changes: Dict[str, Any]) -> Dict[str, Any]:
    """Replaces changes of batch size and order by a batch sampler with them, because torch takes either."""
    from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler

    rest = {name: value for name, value in changes.items() if name not in ("batch_size", "shuffle", "sampler")}
    if len(rest) == len(changes):
        return changes
    sampler = stock.sampler
    if "shuffle" in changes:
        sampler = RandomSampler(loader.dataset, generator=loader.generator) if changes["shuffle"] else SequentialSampler(loader.dataset)
    return {**rest, "batch_sampler": BatchSampler(sampler, changes.get("batch_size", stock.batch_size), stock.drop_last)}


def full_batches_of(loader: Any) -> Optional[int]:
    """Batches in an epoch, by the loader's samplers, or by the loader itself if it iterates in its own way; None if unknown."""
    if iterates_its_own_way(loader):
        source = loader
    elif dataset_kind(loader.dataset) == "map":
        source = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    elif loader.batch_sampler is None:
        source = loader.dataset  # torch's len(loader) is the same, but warns later if the dataset is longer
    else:
        return None
    try:
        return len(source)
    except Exception:  # no __len__, or one of the user's that raises: unknown either way
        return None


def _call_again(call: ConstructorCall, changes: Dict[str, Any]) -> Any:
    """Repeats the call that made the loader, with the changes; None where its class does not take them."""
    try:
        signature = inspect.signature(call.cls)
        bound = signature.bind(*call.args, **call.kwargs)
    except (TypeError, ValueError):
        return None
    keywords = next((name for name, p in signature.parameters.items() if p.kind is p.VAR_KEYWORD), None)
    for name, value in changes.items():
        if name in signature.parameters:
            bound.arguments[name] = value
        elif keywords is not None:
            bound.arguments.setdefault(keywords, {})
            bound.arguments[keywords] = {**bound.arguments[keywords], name: value}
        else:
            return None
    from torch.utils.data import DataLoader

    try:
        return call.cls(*bound.args, **bound.kwargs)
    except Exception:
        if call.cls.__init__ is DataLoader.__init__:  # type: ignore[misc]
            raise  # torch's own refusal is the answer
        return None  # a subclass that passes on a fixed value: the caller copies it instead


def _copy(loader: Any, changes: Dict[str, Any]) -> Any:
    """Copies a loader: makes its DataLoader part anew, and keeps the attributes that its class added."""
    from torch.utils.data import DataLoader

    copy = object.__new__(type(loader))
    arguments = {**_own_arguments(loader), **changes}
    if arguments.get("num_workers") and arguments.get("prefetch_factor") is None:
        arguments.pop("prefetch_factor", None)
    if arguments.get("shuffle") is not None and arguments.get("sampler") is None:
        arguments.pop("sampler", None)
    DataLoader.__init__(copy, **arguments)
    for name, value in vars(loader).items():
        vars(copy).setdefault(name, value)
    return copy


def _own_arguments(loader: Any) -> Dict[str, Any]:
    from torch.utils.data import DataLoader

    known = inspect.signature(DataLoader.__init__).parameters
    arguments = {name: getattr(loader, name) for name in _KEPT_ARGUMENTS if name in known and hasattr(loader, name)}
    if loader.batch_size is None and loader.batch_sampler is not None:
        del arguments["batch_size"]
        arguments["batch_sampler"] = loader.batch_sampler
    else:
        arguments["drop_last"] = loader.drop_last
        if dataset_kind(loader.dataset) == "map":
            arguments["sampler"] = loader.sampler
    return arguments


def _limit_batches(loader: Any, batches: Optional[int]) -> CountingSampler:
    """Wraps the loader's index sampler in one with a limit; bypasses `DataLoader.__setattr__`, which refuses every change."""
    in_batches = loader.batch_sampler is not None
    name = "batch_sampler" if in_batches else "sampler"
    sampler = CountingSampler(vars(loader)[name], batches, in_batches)
    vars(loader)[name] = sampler
    return sampler
