"""The messages between app and agent: JSON objects, one a line, UTF-8, over a loopback connection that the agent dials.

The agent greets first with `hello` and the one-time token; the app answers `welcome` or hangs up. From then on the app asks
and the agent answers, one request at a time. The end of the connection ends the agent and its tree.

    app asks                                   agent answers
    -                                          hello {token, protocol, pid, python, executable, platform, clock_ns}
    welcome {protocol}
    load {script, module, args, cwd, capture,  loaded {targets: [Target.to_json()], notes: [sentence], has_step, environment,
          arguments}                           imports: [{name, seconds, within, beside_script}]} | failed
                                               {error} | again {captured: CapturedLoader.to_json() | null}
    attach {target, arguments}                 attached {target: Target.to_json(), length, current: TrialConfig, fingerprint,
                                               number_in_constructors, notes: [sentence],
                                               handles: [SharedHandle.to_json()]} | failed {error}
    probe {}                                   probed {sample, seconds} | failed {error}   (reads the user's data: ends the agent's reuse)
    weigh {}                                   weighed {parts: [SentPart]} | failed {error}   (pickles the user's data: likewise)
    clock {}                                   clock {clock_ns}
    end_look {}                                again   (at once; ends the look of an unanswered `load`)
    end_if_left {}                             (none: a `trial` of the training is answered if the script has left its loader)
    where {}                                   where {place: {file, line, function} | null}   (at once, also while another request runs)
    trial {trial: TrialOrder.to_json()}        trial_done {status: ok, outcome: TrialOutcome.to_json()} | failed {error}
    exit {}                                    (ends)

A `trial` whose consumer is the training is answered from inside the script, by a process that ends at once. Where the constructor of the
loader iterates it (`number_in_constructors` is not null), the setting must hold before that: then `load` gets the number, and the
order as `trial`, and the same order follows as `trial`.
`script` is the path of a file; `module` the name by which `python -m` runs it, or null.
`environment` = {python, torch, torch_cuda, accelerator, start_methods, default_start_method, free_threaded,
torch_assumptions: [sentence]}; `accelerator`: whether torch has one, or null if the agent cannot ask without starting it.
`imports` = the top-level modules that the load of the script imported in 20 ms or more, heaviest first; `within` = the one of
them that imported it; `beside_script`: whether Python finds it in the script's folder only.
`SentPart`: see `facts.results`. `error` = ErrorInfo.to_json().
With `capture: N` the script runs as `__main__`, and the agent sends `loaded` from inside the N-th `iter()`. With `LOOK` it chooses
the loader (`agent/loader_look.py`): it sends `loaded` from inside that `iter()`, or `again` where the script went past it; `captured`
is null where it chose none. With `LOOK_AT_ALL` it lets every loader through, and ends with `again`. Where the `iter()` is in a
child of the script, the child reports in the folder of `FOLDER_VARIABLE` and waits (`agent/standstill.py`); once continued, it
dials and greets like an agent, sends `loaded`, and answers all further requests.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any, Dict, List, Optional, Tuple

from .ranges import Count, OneOf, Positive, Range

PROTOCOL = 1
TOKEN_VARIABLE = "LOADERSCOPE_TOKEN"  # removed from the agent's environment before the user's code runs
ADDRESS_VARIABLE = "LOADERSCOPE_ADDRESS"  # host:port, likewise
FOLDER_VARIABLE = "LOADERSCOPE_FOLDER"  # the agent's folder for temporary files, likewise; the app makes and removes it
MARK_VARIABLE = "LOADERSCOPE_MARK"  # stays in the environment: it marks every process of a trial
MAX_LINE_BYTES = 16 * 1024 * 1024


class ProtocolError(Exception):
    """A message that the other side may not send."""


def encode(message: Dict[str, Any]) -> bytes:
    """One message as a line of bytes."""
    return json.dumps(message, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"


def decode(line: bytes) -> Dict[str, Any]:
    """The message in one line.

    Raises:
        ProtocolError: the line is too long, not JSON, or not an object with a text under "type".
    """
    if len(line) > MAX_LINE_BYTES:
        raise ProtocolError("a message of %d bytes is longer than the %d allowed" % (len(line), MAX_LINE_BYTES))
    try:
        message = json.loads(line.decode("utf-8"))
    except ValueError as error:
        raise ProtocolError("a message is not JSON: %s" % error) from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("a message is no object with a type")
    return message


class _Json:
    """Base of dataclasses that travel: to_json returns plain JSON values, from_json ignores unknown keys."""

    def to_json(self) -> Dict[str, Any]:
        data: Dict[str, Any] = dataclasses.asdict(self)  # type: ignore[call-overload]
        return data

    @classmethod
    def from_json(cls, data: Dict[str, Any]):  # type: ignore[no-untyped-def]
        known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        return cls(**{key: value for key, value in data.items() if key in known})


@dataclasses.dataclass(frozen=True)
class TrialConfig(_Json):
    """One setting of the loader. At 0 workers, fields without a meaning there are None; `batch_size` None keeps the loader's own."""

    num_workers: Count = 0
    batch_size: Optional[Count] = None
    prefetch_factor: Optional[Count] = None
    pin_memory: bool = False
    persistent_workers: Optional[bool] = None
    start_method: Optional[str] = None
    in_order: Optional[bool] = None
    backend: Optional[str] = None
    forkserver_preload: Optional[Tuple[str, ...]] = None
    sharing_strategy: Optional[str] = None  # how workers share tensors; None: the script's own way
    threads: Optional[Positive] = None  # torch's threads in main; None: as many as the script has

    def __post_init__(self) -> None:
        if self.forkserver_preload is not None:  # JSON gives a list; equal settings must hash alike
            object.__setattr__(self, "forkserver_preload", tuple(self.forkserver_preload))


LOOK = "look"
LOOK_AT_ALL = "look-at-all"


@dataclasses.dataclass(frozen=True)
class MetLoader(_Json):
    """A DataLoader that the script iterated. Places are `file:line`; None where no code of the user's is there."""

    number: Count  # of the target `captured:N`
    type_name: str
    made: Optional[str]
    iterated: Optional[str]
    function: str  # that iterates it; empty at the top level
    dataset: str  # class
    dataset_kind: Annotated[str, OneOf(("map", "iterable"))]
    length: Optional[Count]  # samples
    batch_size: Optional[Count]
    shuffles: Optional[bool]  # None for a sampler that does not say
    current: Optional[TrialConfig]  # the loader's own settings
    evidence: List[str]  # sentences about how the script uses it, without a subject's name

    @classmethod
    def from_json(cls, data: Dict[str, Any]) -> "MetLoader":
        data = dict(data)
        if data.get("current") is not None:
            data["current"] = TrialConfig.from_json(data["current"])
        return super().from_json(data)  # type: ignore[no-any-return]


@dataclasses.dataclass(frozen=True)
class CapturedLoader(_Json):
    """The loader that was captured, among those that the script iterated.

    `why`: why this one was chosen; empty where nobody has chosen yet.
    """

    number: Count
    why: str
    met: List[MetLoader]  # in the order of their first iterations

    @property
    def chosen(self) -> Optional[MetLoader]:
        """The captured loader; None if it was not met."""
        return next((loader for loader in self.met if loader.number == self.number), None)

    @classmethod
    def from_json(cls, data: Dict[str, Any]) -> "CapturedLoader":
        return super().from_json({**data, "met": [MetLoader.from_json(loader) for loader in data["met"]]})  # type: ignore[no-any-return]


CONSUMERS = ("none", "sleep", "burn", "script", "training", "device", "cuda")
TIMED_CONSUMERS = ("sleep", "burn", "device", "cuda")
"""Consumers that need the milliseconds of a step."""
DEVICE_CONSUMERS = ("script", "training", "device", "cuda")
"""Consumers whose steps may use a device that no option names."""


@dataclasses.dataclass(frozen=True)
class Consumer(_Json):
    """The consumer of the batches: none, the script's step, or for `ms` milliseconds sleep, burn or a synthetic load of an accelerator.

    `training` is the script's own loop. `device` loads the current accelerator, `cuda` loads CUDA where torch has it.
    """

    kind: Annotated[str, OneOf(CONSUMERS)] = "none"
    ms: Optional[Annotated[float, Range(0.0, 1e12)]] = None


@dataclasses.dataclass(frozen=True)
class TrialOrder(_Json):
    """The trial that the agent is to run. `record` False runs it without instrumentation, to measure the cost of that."""

    trial: int
    log_dir: str
    config: TrialConfig
    batches: Optional[int] = 100  # per epoch; None: all
    epochs: Optional[int] = 1  # None: see `epoch_count`
    enough_batches: Optional[int] = None  # of one epoch, that show a rate; with fewer, an open number of epochs grows
    shuffle: Optional[bool] = None  # None: the loader's own, else off
    seed: int = 0
    consumer: Consumer = dataclasses.field(default_factory=Consumer)
    device: Optional[str] = None
    h2d: str = "blocking"  # or non_blocking, or overlapped (copies on a stream of their own)
    timeout_s: float = 30.0
    record: bool = True
    gpu_window: Optional[int] = None  # steps that are profiled after the measured epochs
    samples_of: Optional[str] = None  # expression of `batch` that gives the samples in it; None: counted by the agent's own rules
    perfect_loader_bytes: Optional[Count] = None  # the most memory for the batches of a perfect loader; None: the loader itself is measured
    probe: bool = False  # workers look closer at their dataset

    @classmethod
    def from_json(cls, data: Dict[str, Any]) -> "TrialOrder":
        data = dict(data)
        data["config"] = TrialConfig.from_json(data["config"])
        data["consumer"] = Consumer.from_json(data["consumer"])
        return super().from_json(data)  # type: ignore[no-any-return]


@dataclasses.dataclass(frozen=True)
class TrialOutcome(_Json):
    """The result of a trial. `ran_user_code`: the dataset or a step ran inside the agent, so the agent must not be used again."""

    seconds: float
    batches: int
    samples: Optional[int]  # None where a batch's size is unknown
    epoch_batches: List[int]
    pinned: bool  # whether pinning really happened
    ran_user_code: bool
    fingerprint: Optional[str]  # the dataset's after the trial, to compare with the one before
    event_seconds: Optional[float] = None  # estimated time of the main process spent in recording
    shared_generators: Optional[List[str]] = None  # of random, numpy, torch: those that threads share; None if not checked
    gpu_window: Optional[Dict[str, Any]] = None  # see `exact_window.measure`
    other_threads_share: Optional[float] = None  # of the processor time of this process during the epochs: by all threads but this one
    keeps_workers: bool = False  # the loader's constructor started them, for all epochs
    works_unseen: bool = False  # the device also worked on streams whose times are not recorded
    full_batches: Optional[int] = None  # in an epoch without a limit, as far as the loader tells
    whole_epochs: Optional[List[bool]] = None  # for each epoch, whether it is known to have ended before the limit of batches
    notes: List[str] = dataclasses.field(default_factory=list)
    waits_in_main: bool = True  # False: another thread than the main one took the batches, which main may hardly feel
    loader_batches: Optional[int] = None  # of an epoch that the script's loop may leave early, as far as the loader tells
    child_names: Dict[str, str] = dataclasses.field(default_factory=dict)  # of processes that the script started, by pid
    epoch_setter: Optional[Dict[str, Any]] = None  # of the dataset, see `epoch_setter.find_epoch_setter`; None: none, or not looked for
    gave_all: bool = False  # the script ended, or did not iterate the loader again: more epochs are not to be had
    no_ceiling: str = ""  # why the batches of a perfect loader could not be served, so that the trial has no figures


@dataclasses.dataclass(frozen=True)
class Target(_Json):
    """Something in the script that can feed a loader."""

    name: str
    kind: Annotated[str, OneOf(("dataset", "loader", "captured"))]
    type_name: str  # class of the object, or of a function's result by its annotation, or ""
    origin: str  # variable | function | class | captured
    dataset_kind: Optional[Annotated[str, OneOf(("map", "iterable"))]] = None  # None while unknown (functions, classes)
    length: Optional[Count] = None  # samples
    needs: List[str] = dataclasses.field(default_factory=list)  # arguments the user must give
    current: Optional[TrialConfig] = None  # the loader's own settings
    line: Optional[Count] = None
    cell: Optional[Count] = None  # of a notebook, in which `line` counts
    note: str = ""  # a sentence for the user, e.g. about an iteration at top level
    captured: Optional[CapturedLoader] = None  # None for a target that is no captured loader

    @classmethod
    def from_json(cls, data: Dict[str, Any]) -> "Target":
        data = dict(data)
        if data.get("current") is not None:
            data["current"] = TrialConfig.from_json(data["current"])
        if data.get("captured") is not None:
            data["captured"] = CapturedLoader.from_json(data["captured"])
        return super().from_json(data)  # type: ignore[no-any-return]


@dataclasses.dataclass(frozen=True)
class SharedHandle(_Json):
    """Something open that the dataset holds before its workers start; forked workers share it with main and with each other."""

    path: str  # "dataset.zip"
    type_name: str  # "zipfile.ZipFile"
    kind: str  # one of `shared_handles`: file, connection, lock
    name: str  # of the attribute or of the global
    owner: str = ""  # class of the object whose attribute it is; empty for a global
    file: Optional[str] = None  # where it is made, as far as the source shows
    line: Optional[Count] = None
    code: str = ""  # of that line


@dataclasses.dataclass(frozen=True)
class ErrorInfo(_Json):
    """`kind` is the exception's name, or one of worker-died, agent-died, hung, not-picklable, main-guard, limit, unsupported."""

    kind: str
    message: str  # one clear sentence, with file and line where they are known
    traceback: str = ""
    file: Optional[str] = None
    line: Optional[Count] = None
    pids: List[Count] = dataclasses.field(default_factory=list)  # of the processes that died
    route: Optional[str] = None  # of an object that cannot be pickled: a name of `unpicklable.Route`
    cause: Optional[str] = None  # of a death, a limit, or the end of a script: one of `error_sentences.CAUSES`
    handles: List[SharedHandle] = dataclasses.field(default_factory=list)  # that forked workers of the failed trial shared
    needs: Dict[str, Count] = dataclasses.field(default_factory=dict)  # at a limit: what the setting was expected to need, and the limits

    @classmethod
    def from_json(cls, data: Dict[str, Any]) -> "ErrorInfo":
        handles = [SharedHandle.from_json(handle) for handle in data.get("handles") or ()]
        return super().from_json({**data, "handles": handles})  # type: ignore[no-any-return]
