"""All knowledge of torch's loader internals: where to hook, what each hook needs, and which versions were checked.

Checked by running torch 2.1.2, 2.6.0, 2.9.1, 2.13.0 and 2.14.1 (every function below, by its source), and the Python sources of the
loader of 2.12.1 and 2.15.0 over the libraries of 2.13.0; the sources of 2.10 and 2.11 are the same. Reading the sources of 2.1 to
2.15 showed that all of them have the names used here, except `_in_order` (new in 2.6). In 2.14 the dataset argument of the worker's
loop became a list of one element; nothing here reads that argument: arguments are found by parameter name or by type.

A function whose source differs from the checked one is hooked only if it still uses the names that its hook relies on; in
either case a sentence says so. Fingerprints are of sources without comments and blank lines, because code objects differ between
Python versions.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any, Dict, Iterator, NamedTuple, Optional, Sequence, Tuple

LOADER_MODULE = "torch.utils.data.dataloader"
STATEFUL_MODULE = "torchdata.stateful_dataloader.stateful_dataloader"
STATEFUL_ITERATOR = "_StatefulMultiProcessingDataLoaderIter"
STATEFUL_SINGLE_ITERATOR = "_StatefulSingleProcessDataLoaderIter"

CHECKED_VERSIONS = "2.1, 2.6 and 2.9 to 2.15"

CONTEXT_ATTRIBUTE = "_DataLoader__multiprocessing_context"
"""The attribute with a loader's multiprocessing context; its setter accepts Python's own contexts only."""

FAILED_WORKERS = "failed_workers"
"""The local variable of `_try_get_data` that holds the dead workers' process objects when it raises."""


class HookPoint(NamedTuple):
    """A function of torch that is hooked, or whose body a hook relies on."""

    module: str
    path: str
    needs: Tuple[str, ...] = ()
    """Names that its body must use for the hook to work."""
    what: str = ""
    """What cannot be recorded without it, in words for the user."""

    @property
    def key(self) -> str:
        return self.module.rpartition(".")[2] + "." + self.path


_UTILS = "torch.utils.data._utils."
CREATE_FETCHER = HookPoint(LOADER_MODULE, "_DatasetKind.create_fetcher", (), "fetch and collate")
MAP_FETCH = HookPoint(_UTILS + "fetch", "_MapDatasetFetcher.fetch", ("dataset", "collate_fn", "auto_collation"), "samples and collate")
ITERABLE_FETCH = HookPoint(_UTILS + "fetch", "_IterableDatasetFetcher.fetch", ("dataset_iter", "collate_fn"), "samples and collate")
NEXT = HookPoint(LOADER_MODULE, "_BaseDataLoaderIter.__next__", ("_next_data", "_num_yielded"), "waiting of the main process")
SINGLE_INIT = HookPoint(LOADER_MODULE, "_SingleProcessDataLoaderIter.__init__", (), "the start of an iterator with 0 workers")
MULTI_INIT = HookPoint(LOADER_MODULE, "_MultiProcessingDataLoaderIter.__init__", (), "the start of an iterator")
MULTI_RESET = HookPoint(LOADER_MODULE, "_MultiProcessingDataLoaderIter._reset", (), "the restart of persistent workers")
GET_DATA = HookPoint(LOADER_MODULE, "_MultiProcessingDataLoaderIter._get_data", ("_try_get_data",), "receiving and deserialising")
NEXT_DATA = HookPoint(LOADER_MODULE, "_MultiProcessingDataLoaderIter._next_data", ("_rcvd_idx", "_task_info", "_get_data"), "batch numbers")
PUT_INDEX = HookPoint(LOADER_MODULE, "_MultiProcessingDataLoaderIter._try_put_index", ("_send_idx", "_task_info"), "handing out of indices")
SHUTDOWN = HookPoint(LOADER_MODULE, "_MultiProcessingDataLoaderIter._shutdown_workers", ("_shutdown",), "the shutdown of workers")
PIN_LOOP = HookPoint(_UTILS + "pin_memory", "_pin_memory_loop", ("in_queue", "out_queue"), "pinning")
WORKER_LOOP = HookPoint(_UTILS + "worker", "_worker_loop", ("index_queue", "data_queue", "done_event", "fetch"), "the phases of a worker")

BASE_RESET = HookPoint(LOADER_MODULE, "_BaseDataLoaderIter._reset", ("_index_sampler", "_sampler_iter"))
NEXT_INDEX = HookPoint(LOADER_MODULE, "_BaseDataLoaderIter._next_index", ("_sampler_iter",))
"""Functions that call the sampler. They are only timed, which their names allow in any version, so their sources need no check."""

HOOK_POINTS = (
    CREATE_FETCHER, MAP_FETCH, ITERABLE_FETCH, NEXT, SINGLE_INIT, MULTI_INIT, MULTI_RESET, GET_DATA, NEXT_DATA,
    PUT_INDEX, SHUTDOWN, PIN_LOOP, WORKER_LOOP,
)  # fmt: skip

CHECKED_SOURCES: Dict[str, Dict[str, str]] = {
    "dataloader._DatasetKind.create_fetcher": {"2.1.2": "1d16ffd6651337bb", "2.6.0": "f7ce573e0ce3d789"},
    "fetch._MapDatasetFetcher.fetch": {"2.1.2": "869f7ef94de8231b"},
    "fetch._IterableDatasetFetcher.fetch": {"2.1.2": "12866c469355424c"},
    "dataloader._BaseDataLoaderIter.__next__": {"2.1.2": "0de07c783ecc0059", "2.6.0": "222deb1a051325a0", "2.13.0": "6e242e666e666f75"},
    "dataloader._SingleProcessDataLoaderIter.__init__": {
        "2.1.2": "09b776a07ddfe21d",
        "2.6.0": "da303f46c02ed4da",
        "2.13.0": "f365a4d9db8a872d",
    },
    "dataloader._MultiProcessingDataLoaderIter.__init__": {
        "2.1.2": "1647aae3e24fe740",
        "2.6.0": "5b55f7eb29b1cb50",
        "2.9.1": "cc2983683e01ee3a",
        "2.10.0": "869bc0f469e70816",
        "2.13.0": "c2ea8643a08e0ddc",
        "2.14.0": "73307d99c35d66dd",
    },
    "dataloader._MultiProcessingDataLoaderIter._reset": {
        "2.1.2": "d909ad7ca8e4e40b",
        "2.6.0": "175660128ffdb7c2",
        "2.9.1": "173304a4689908a9",
        "2.13.0": "3901884c8f082037",
    },
    "dataloader._MultiProcessingDataLoaderIter._get_data": {"2.1.2": "d1003a6f7b1bdd14", "2.6.0": "4a267a57a77125fd"},
    "dataloader._MultiProcessingDataLoaderIter._next_data": {
        "2.1.2": "50aff9f11c4655af",
        "2.6.0": "f04db069dfcd7d04",
        "2.9.1": "3631a1da5aa482da",
        "2.13.0": "f71684e7a86fc82d",
    },
    "dataloader._MultiProcessingDataLoaderIter._try_put_index": {
        "2.1.2": "fe2d9bdfcb7c9fa4",
        "2.6.0": "c6dc1b9db38cf8f8",
        "2.9.1": "76a0b4ab4aa29f06",
        "2.13.0": "a7baffbe0aff1645",
    },
    "dataloader._MultiProcessingDataLoaderIter._shutdown_workers": {
        "2.1.2": "725d2ba855ea00cb",
        "2.6.0": "5ba3ef5ce64671bb",
        "2.10.0": "2e428f5c57bbe828",
        "2.13.0": "b9c565fa2cb3a129",
    },
    "pin_memory._pin_memory_loop": {
        "2.1.2": "58ecb4372b55fe6b",
        "2.6.0": "9f38eb7e123de808",
        "2.9.1": "ae85987c2abed8d9",
        "2.13.0": "7a24344a73bea6d7",
    },
    "worker._worker_loop": {
        "2.1.2": "97af3feefbb69af1",
        "2.6.0": "bbb88a6b8727f500",
        "2.13.0": "37b27ae058bb5cdf",
        "2.14.0": "69414b94ca5b95b2",
    },
}
"""Fingerprints of function sources, by hook point and by the first checked torch version with that source."""


class Place(NamedTuple):
    """Where a hook point is: the object that holds the function, and the function's name."""

    owner: Any
    name: str


def imported(module: str) -> Optional[Any]:
    """The module if the user's code has imported it completely, else None; imports nothing itself."""
    loaded = sys.modules.get(module)
    if loaded is None or getattr(getattr(loaded, "__spec__", None), "_initializing", False):
        return None
    return loaded


def find(point: HookPoint) -> Optional[Place]:
    """Where the hook point is in this torch; None if it is missing, or no longer uses the names that its hook relies on."""
    try:
        owner: Any = importlib.import_module(point.module)
        *holders, name = point.path.split(".")
        for holder in holders:
            owner = getattr(owner, holder)
        function = getattr(owner, name)
    except (ImportError, AttributeError):
        return None
    used = _names_of(function)
    if used is not None and not set(point.needs) <= used:
        return None
    return Place(owner, name)


def _plain_function(function: Any) -> Any:
    """The function behind our own hook or a decorator."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def _names_of(function: Any) -> Optional["set[str]"]:
    """Every name that a function's body uses, nested functions included; None where it has no code object."""
    code = getattr(_plain_function(function), "__code__", None)
    if code is None:
        return None
    names: "set[str]" = set()
    codes = [code]
    while codes:
        code = codes.pop()
        names.update(code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        codes.extend(constant for constant in code.co_consts if isinstance(constant, type(code)))
    return names


def fingerprint(function: Any) -> Optional[str]:
    """A hash of a function's source without comments and blank lines; None where there is no source."""
    import hashlib
    import inspect

    try:
        source = inspect.getsource(_plain_function(function))
    except (OSError, TypeError):
        return None
    lines = [line.strip() for line in source.splitlines()]
    kept = "\n".join(line for line in lines if line and not line.startswith("#"))
    return hashlib.sha256(kept.encode("utf-8")).hexdigest()[:16]


@functools.lru_cache(maxsize=1)
def assumption_notes() -> Tuple[str, ...]:
    """Sentences about functions of the imported torch that are missing or unchecked; none for a checked version."""
    import torch

    version = torch.__version__.partition("+")[0]
    unknown: "list[str]" = []
    notes: "list[str]" = []
    for point in HOOK_POINTS:
        place = find(point)
        if place is None:
            notes.append("torch %s has no %s of the kind that is known, so %s cannot be recorded." % (version, point.key, point.what))
        elif fingerprint(getattr(place.owner, place.name)) not in CHECKED_SOURCES.get(point.key, {}).values():
            unknown.append(point.key)
    if unknown:
        notes.append(
            "In torch %s %d of %d functions that are observed differ from the ones that were checked (torch %s): %s. What is recorded"
            " from them may be incomplete." % (version, len(unknown), len(HOOK_POINTS), CHECKED_VERSIONS, ", ".join(unknown))
        )
    return tuple(notes)


def is_worker_loop(target: Any) -> bool:
    """Whether a process's target is the loop of a loader's worker (torch's, or torchdata's own)."""
    module = getattr(target, "__module__", None) or ""
    return getattr(target, "__name__", "") in ("_worker_loop", "_process_worker_loop") and (
        module.startswith("torch.utils.data.") or module.startswith("torchdata.")
    )


def parameter_index(target: Any, name: str) -> Optional[int]:
    """The position of one of the worker loop's parameters."""
    code = getattr(target, "__code__", None)
    if code is None:
        return None
    parameters = code.co_varnames[: code.co_argcount]
    return parameters.index(name) if name in parameters else None


def loop_argument(target: Any, arguments: Sequence[Any], name: str) -> Any:
    """One of the worker loop's arguments; None if the loop has no parameter of that name."""
    index = parameter_index(target, name)
    return arguments[index] if index is not None and index < len(arguments) else None


def tensor_classes() -> Tuple[Any, Any]:
    """The class of tensors, and the class of the storages pickled for them; torch must be imported."""
    torch = sys.modules["torch"]
    return torch.Tensor, torch.UntypedStorage


def worker_number(target: Any, arguments: Sequence[Any]) -> int:
    """The number of the worker that runs a loop with these arguments; -1 if unknown."""
    number = loop_argument(target, arguments, "worker_id")
    return number if isinstance(number, int) else -1


def is_stateful(module: str) -> bool:
    """Whether a module is torchdata's, whose loader's workers send their state along with a batch."""
    return module.startswith("torchdata.")


def payload(message: Any, stateful: bool) -> Any:
    """The batch, or the indices, in a message from or to a worker: (number, batch), with torchdata (number, (batch, ...))."""
    return message[1][0] if stateful else message[1]


def failure_message(number: int, worker: int, wrapped_error: Any, stateful: bool) -> Tuple[int, Any]:
    """The message that a worker sends for a failed batch; main raises its error (`_process_data`)."""
    return number, (wrapped_error, worker, None) if stateful else wrapped_error


INIT_FUNCTION = "init_fn"
"""Name of the worker loop's parameter for the user's worker_init_fn."""


def is_end_of_iterable(data: Any) -> bool:
    """Whether a worker's message says that its part of an iterable dataset is exhausted."""
    return type(data).__name__ == "_IterableDatasetStopIteration"


def drawn_batch(iterator: Any) -> int:
    """The number of the batch whose indices an iterator draws now."""
    return int(getattr(iterator, "_send_idx", iterator._num_yielded))


def samplers_of(iterator: Any) -> Iterator[Any]:
    """What gives an iterator its indices: the outermost first, then the samplers that it takes them from."""
    sampler = getattr(iterator, "_index_sampler", None)
    for _ in range(_DEEPEST_SAMPLER):
        if sampler is None:
            return
        yield sampler
        own = getattr(sampler, "__dict__", {})
        sampler = next((own[name] for name in ("_inner", "batch_sampler", "sampler") if own.get(name) is not None), None)


_DEEPEST_SAMPLER = 5


def starts_sampler_only(iterator: Any, loader: Any) -> bool:
    """Whether nothing else takes long in the constructor of an iterator than the sampler's iter().

    Others start workers, call the iter() of an iterable dataset, restore a state, or look for an accelerator.
    """
    return type(iterator).__name__ == "_SingleProcessDataLoaderIter" and not loader.pin_memory and loader._dataset_kind == 0


def delivered_batch(iterator: Any, last_arrived: int) -> int:
    """The number of the batch that `next` has just returned.

    With `in_order` (always before 2.6) batches leave in the order of `_rcvd_idx`, which torch has just increased; without it a
    batch leaves as it arrives. An iterator without `_rcvd_idx` has no workers.
    """
    received = getattr(iterator, "_rcvd_idx", None)
    if received is None:
        return int(iterator._num_yielded) - 1
    if getattr(iterator, "_in_order", True):
        return int(received) - 1
    return last_arrived


def outstanding_batches(iterator: Any) -> int:
    """How many batches were requested from workers and have not arrived."""
    return int(getattr(iterator, "_tasks_outstanding", 0))


def worker_of_batch(iterator: Any, number: int) -> int:
    """The worker that makes a batch that `next` has not returned yet; -1 if unknown."""
    info = getattr(iterator, "_task_info", {}).get(number)
    return info[0] if info else -1


def pins_in_thread(iterator: Any) -> bool:
    """Whether a thread takes the batches from the workers' queue to pin them."""
    return bool(getattr(iterator, "_pin_memory", False))
