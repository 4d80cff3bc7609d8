"""The settings of a loader that can be swept: one row each, from which options, axes, chips, columns and words are made.

`TrialConfig` holds the values (it belongs to the agent, which imports the standard library only): a row's `field` names its field.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.text import MISSING, count_text

Value = TypeVar("Value")

START_METHODS = ("fork", "spawn", "forkserver")
BACKENDS = ("process", "thread")
SHARING_STRATEGIES = ("file_descriptor", "file_system")
SWITCHES = {"on": True, "off": False}
OWN = "own"
"""Stands for the value that the script itself sets."""

LARGEST_NUMBER = (1 << 63) - 1
"""The largest seed of torch; itertools and C code accept no larger number for anything else."""


def whole_number(minimum: int) -> Callable[[str], int]:
    """Returns a converter of whole numbers from `minimum` on."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{value} is too small, the least is {minimum}")
        if value > LARGEST_NUMBER:
            raise argparse.ArgumentTypeError(f"{value} is too large, the greatest is {LARGEST_NUMBER}")
        return value

    return convert


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """Returns a converter that accepts only these words."""

    def convert(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return convert


def own_or(convert: Callable[[str], Value]) -> Callable[[str], Value | None]:
    """Returns a converter that also accepts `own`, the value that the script itself sets, and returns None for it."""
    return lambda text: None if text == OWN else convert(text)


def switch(text: str) -> bool:
    """Returns True for `on` and False for `off`."""
    return SWITCHES[one_of(tuple(SWITCHES))(text)]


@dataclasses.dataclass(frozen=True)
class Setting:
    """A setting that can be swept.

    Attributes:
        field: of `TrialConfig`, and of the axes of a request.
        label: heading of its chips and columns.
        help: of its option, with the default in parentheses.
        tip: its explanation in the window.
        metavar: placeholder for the values of its option.
        parse: converts text to a value; raises ArgumentTypeError.
        default: values that a sweep uses unless the user names others; None if the target decides.
        torch_default: torch's default; None if that depends on the system or the dataset.
        word: returns the text of a value within a setting, or None if it needs no mention.
        needs_workers: whether it has no effect without workers.
        has_own: whether None is a value like any other: the script's own.
        limits: smallest and largest value that a user may add in the window; None if only offered values make sense.
        offered: values that the window offers; empty if they depend on the machine.
        always_a_column: whether tables show it even if all settings have the same value.
    """

    field: str
    label: str
    help: str
    tip: str
    metavar: str
    parse: Callable[[str], Any]
    word: Callable[[Any], str | None]
    default: tuple[Any, ...] | None = None
    torch_default: Any = None
    needs_workers: bool = True
    has_own: bool = False
    limits: tuple[int, int] | None = None
    offered: tuple[Any, ...] = ()
    always_a_column: bool = False

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return "--" + self.field.replace("_", "-")

    def of(self, config: TrialConfig) -> Any:
        """Its value in a setting of the loader."""
        return getattr(config, self.field)


def _if_on(word: str) -> Callable[[bool], str | None]:
    return lambda value: word if value else None


SETTINGS: tuple[Setting, ...] = (
    Setting(
        field="num_workers",
        label="workers",
        help="(0, 1, 2, 4 … up to the usable cores)",
        tip="num_workers: processes that load batches beside the main process; 0 loads them in the main process itself",
        metavar="N,…",
        parse=whole_number(0),
        word=lambda value: count_text(value, "worker"),
        needs_workers=False,
        limits=(0, 256),
        always_a_column=True,
    ),
    Setting(
        field="start_method",
        label="start method",
        help="fork, spawn, forkserver (the system's default)",
        tip="How a worker process is made: fork copies the main process, spawn starts a new Python and imports the script again,\n"
        "forkserver forks from a small helper process",
        metavar="NAME,…",
        parse=one_of(START_METHODS),
        word=str,
        always_a_column=True,
    ),
    Setting(
        field="batch_size",
        label="batch size",
        help="(the loader's own, else 32)",
        tip="Samples in one batch",
        metavar="N,…",
        parse=whole_number(1),
        word=lambda value: f"batch {value}",
        needs_workers=False,
        limits=(1, 1_000_000),
        offered=(16, 32, 64),
        always_a_column=True,
    ),
    Setting(
        field="prefetch_factor",
        label="prefetch",
        help="batches requested ahead of need, per worker (2)",
        tip="prefetch_factor: batches that each worker may have ready or in work ahead of the main process",
        metavar="N,…",
        parse=whole_number(1),
        word=lambda value: None if value == 2 else f"prefetch {value}",
        default=(2,),
        torch_default=2,
        limits=(1, 1024),
        offered=(2, 4, 8),
    ),
    Setting(
        field="backend",
        label="backend",
        help="process, thread (process)",
        tip="What workers are. process: what DataLoader does. thread: threads of the main process, with the same sampler, prefetch\n"
        "and order; shows what Python's lock (GIL) costs. DataLoader has no setting for threads, so they are never recommended",
        metavar="NAME,…",
        parse=one_of(BACKENDS),
        word=lambda value: "threads" if value == "thread" else None,
        default=("process",),
        torch_default="process",
        offered=BACKENDS,
    ),
    Setting(
        field="pin_memory",
        label="pin memory",
        help="copy batches to page-locked memory (off)",
        tip="pin_memory: batches are copied into page-locked memory, from which a GPU can fetch them faster (needs a GPU)",
        metavar="on,off",
        parse=switch,
        word=_if_on("pinned"),
        default=(False,),
        torch_default=False,
        needs_workers=False,
        offered=(False, True),
    ),
    Setting(
        field="persistent_workers",
        label="persistent",
        help="keep workers between epochs (off)",
        tip="persistent_workers: workers stay alive between epochs instead of being started again for each",
        metavar="on,off",
        parse=switch,
        word=_if_on("persistent"),
        default=(False,),
        torch_default=False,
        offered=(False, True),
    ),
    Setting(
        field="in_order",
        label="in order",
        help="hand batches out in the sampler's order (on)",
        tip="in_order: batches are handed out in the sampler's order; off lets a ready batch pass a slow one",
        metavar="on,off",
        parse=switch,
        word=lambda value: None if value else "any order",
        default=(True,),
        torch_default=True,
        offered=(True, False),
    ),
    Setting(
        field="sharing_strategy",
        label="sharing",
        help="file_descriptor, file_system: how tensors of workers are shared; the latter holds no file open for each (own: the script's)",
        tip="How torch shares the tensors of a batch between processes. file_descriptor holds a file open for each of them in flight,\n"
        'file_system none: it is the cure of "too many open files"',
        metavar="NAME,…",
        parse=own_or(one_of(SHARING_STRATEGIES)),
        word=str,
        has_own=True,
        offered=(None, *SHARING_STRATEGIES),
    ),
    Setting(
        field="threads",
        label="main threads",
        help="threads of torch in the main process, torch.set_num_threads (own: as many as the script has)",
        tip="torch.set_num_threads in the main process: without workers they fetch the batches, with workers they compete for the cores",
        metavar="N,…",
        parse=own_or(whole_number(1)),
        word=lambda value: f"{count_text(value, 'thread')} in main",
        needs_workers=False,
        has_own=True,
        limits=(1, 1024),
        offered=(None, 1),
    ),
)
"""In the order of a setting's words."""

BY_FIELD = {setting.field: setting for setting in SETTINGS}

SWEEP_ORDER = (
    "threads", "sharing_strategy", "batch_size", "backend", "start_method", "in_order", "persistent_workers", "pin_memory",
    "prefetch_factor", "num_workers",
)  # fmt: skip
"""Fields in the order of a sweep; the last one varies fastest."""

PRELOAD_WORD = "preload"


def setting_text(config: TrialConfig, leave_out: Collection[str] = ()) -> str:
    """Returns a setting as every output writes it: 4 workers · spawn · batch 64 · persistent.

    Args:
        config: the setting.
        leave_out: fields that the reader already knows, such as the axis of a chart.
    """
    words = []
    for setting in SETTINGS:
        value = setting.of(config)
        word = None if value is None or setting.field in leave_out else setting.word(value)
        if word is not None and setting.field == "start_method" and config.forkserver_preload:
            word += f" + {PRELOAD_WORD}"
        if word is not None:
            words.append(word)
    return " · ".join(words)


def value_text(value: object) -> str:
    """Returns one value of a setting as text: on, off, a number or a name; a dash for None."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def varying_fields(configs: Collection[TrialConfig]) -> frozenset[str]:
    """Returns the fields in which settings differ; a setting without workers does not count for fields that need workers."""
    return frozenset(setting.field for setting in SETTINGS if len(_values(setting, configs)) > 1)


def _values(setting: Setting, configs: Collection[TrialConfig]) -> set[Any]:
    found = {setting.of(config) for config in configs if config.num_workers or not setting.needs_workers}
    return found if setting.has_own else found - {None}


def normalise(config: TrialConfig) -> TrialConfig:
    """Returns the setting with all fields that have no effect set to None, so that settings with equal effects compare equal."""
    if not config.num_workers:
        nothing = {setting.field: None for setting in SETTINGS if setting.needs_workers}
        return dataclasses.replace(config, **nothing, forkserver_preload=None)  # type: ignore[arg-type]
    start_method = None if config.backend == "thread" else config.start_method
    preload = config.forkserver_preload if start_method == "forkserver" else None
    return dataclasses.replace(config, start_method=start_method, forkserver_preload=preload or None)


def find_matching(config: TrialConfig | None, candidates: Sequence[TrialConfig]) -> TrialConfig | None:
    """The first candidate that equals the setting; a start method, batch size or preload list that `config` leaves open matches any."""
    if config is None:
        return None
    normal = normalise(config)
    for candidate in candidates:
        open_fields = {
            name: getattr(candidate, name) for name in ("start_method", "batch_size", "forkserver_preload") if getattr(normal, name) is None
        }
        if normalise(dataclasses.replace(normal, **open_fields)) == candidate:
            return candidate
    return None


def same_but(field: str, config: TrialConfig, other: TrialConfig) -> bool:
    """Whether two settings differ in `field` at most; fields that need workers count only if both settings have workers."""
    both_have_workers = bool(config.num_workers and other.num_workers)
    compared = [setting for setting in SETTINGS if setting.field != field and (both_have_workers or not setting.needs_workers)]
    same_preload = config.forkserver_preload == other.forkserver_preload or not both_have_workers
    return same_preload and all(setting.of(config) == setting.of(other) for setting in compared)


def with_torch_defaults(values: dict[str, Any]) -> TrialConfig:
    """Returns a setting from some of its values by field, with torch's defaults for the rest."""
    has_workers = values.get("num_workers", 0) > 0
    defaults = {setting.field: setting.torch_default for setting in SETTINGS if setting.torch_default is not None}
    plain = {field: value for field, value in defaults.items() if has_workers or not BY_FIELD[field].needs_workers}
    return TrialConfig(**{**plain, **values})
