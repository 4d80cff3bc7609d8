"""The options of `loaderscope run`: their names and help, and the request that they make."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from loaderscope.agent.messages import Consumer, TrialConfig
from loaderscope.sweep.request import Axes, Request

Value = TypeVar("Value")

START_METHODS = ("fork", "spawn", "forkserver")
BACKENDS = ("process", "thread")
CONSUMERS = ("none", "sleep", "burn", "script", "cuda")
SWITCHES = {"on": True, "off": False}

LARGEST_NUMBER = (1 << 63) - 1
"""What torch takes for a seed; itertools and C code take no larger number for anything else."""
LONGEST_S = 366 * 24 * 3600.0
"""Timers of the system overflow at some hundreds of years."""


def whole_number(minimum: int) -> Callable[[str], int]:
    """A converter of whole numbers from `minimum` on."""

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


def positive_seconds(text: str) -> float:
    """A number above 0, a year at most."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    if value > LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text} seconds are longer than a year")
    return value


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """A converter that lets these words pass."""

    def convert(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return convert


def switch(text: str) -> bool:
    """`on` or `off`."""
    return SWITCHES[one_of(tuple(SWITCHES))(text)]


def several(convert: Callable[[str], Value]) -> Callable[[str], tuple[Value, ...]]:
    """A converter of values between commas; a value given twice counts once."""

    def convert_all(text: str) -> tuple[Value, ...]:
        return tuple(dict.fromkeys(convert(part.strip()) for part in text.split(",")))

    return convert_all


def batches(text: str) -> int | None:
    """A number of batches, or None for `all`."""
    return None if text == "all" else whole_number(1)(text)


def consumer(text: str) -> Consumer:
    """What takes the batches, as `none`, `script`, `sleep:MS`, `burn:MS` or `cuda:MS`."""
    kind, colon, milliseconds = text.partition(":")
    if kind not in CONSUMERS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of none, sleep:MS, burn:MS, script, cuda:MS")
    if kind in ("none", "script"):
        if colon:
            raise argparse.ArgumentTypeError(f"{kind} takes no milliseconds")
        return Consumer(kind)
    try:
        value = float(milliseconds)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} lacks its milliseconds, write {kind}:20") from None
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"{milliseconds} is no number of milliseconds from 0 on")
    return Consumer(kind, value)


def argument(text: str) -> tuple[str, str]:
    """`NAME=VALUE` as a pair."""
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def module_name(text: str) -> str:
    """A dotted module name."""
    if not all(part.isidentifier() for part in text.split(".")):
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a module")
    return text


SETTING_FIELDS: dict[str, Callable[[str], Any]] = {
    "num_workers": whole_number(0),
    "batch_size": whole_number(1),
    "prefetch_factor": whole_number(1),
    "pin_memory": switch,
    "persistent_workers": switch,
    "start_method": one_of(START_METHODS),
    "in_order": switch,
    "backend": one_of(BACKENDS),
}


def setting(text: str) -> TrialConfig:
    """One setting of the loader, as `num_workers=2,pin_memory=on`; what is left out has torch's default."""
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name not in SETTING_FIELDS:
            raise argparse.ArgumentTypeError(f"{part!r} is not NAME=VALUE with one of the names {', '.join(SETTING_FIELDS)}")
        values[name] = SETTING_FIELDS[name](value)
    if values.get("num_workers", 0) > 0:
        values = {"prefetch_factor": 2, "persistent_workers": False, "in_order": True, "backend": "process"} | values
    return TrialConfig(**values)


def add_script_options(parser: argparse.ArgumentParser) -> None:
    """What loading a script needs; shared by the commands that load one."""
    group = parser.add_argument_group("the script")
    group.add_argument("--python", metavar="INTERPRETER", help="the Python that has your torch, e.g. of a virtual environment (this one)")
    group.add_argument(
        "--arg",
        metavar="NAME=VALUE",
        type=argument,
        action="append",
        default=[],
        help="an argument for a Dataset class, e.g. root=data/train",
    )
    group.add_argument(
        "--load-timeout", metavar="S", type=positive_seconds, default=60.0, help="give up loading the script after this many seconds (60)"
    )


STARTUP_HELP = (
    "the start-up experiment: where do the seconds before the first batch go, and what would save them? Runs every start method "
    "of the system with 0, 1, 2 and 4 workers, persistent workers on and off, 3 epochs of 2 batches a worker, and a fork server that "
    "has preloaded the script's heavy imports (or --forkserver-preload), started three times at least; before them, as controls, a bare "
    "interpreter and the imports of numpy and torch, read from disk where the system lets one drop them from its cache, and again, and "
    "the imports of what is preloaded. "
    "--num-workers, --start-method, --epochs and --batches narrow or change it"
)


def add_narrowing_options(parser: argparse.ArgumentParser) -> None:
    """The options that narrow the self-test."""
    group = parser.add_argument_group("self-test", "Each narrows it to one or more values between commas.")
    group.add_argument("--num-workers", metavar="N,…", type=several(whole_number(0)), help="(0, 1, 2 and, with enough processors, 4)")
    group.add_argument("--start-method", metavar="NAME,…", type=several(one_of(START_METHODS)), help="(all that the system has)")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """All options of `run` that make the request."""
    add_script_options(parser)
    axes = parser.add_argument_group("axes of the sweep", "Each takes one or more values between commas; every combination is run.")
    on_off = several(switch)
    axes.add_argument("--num-workers", metavar="N,…", type=several(whole_number(0)), help="(0, 1, 2, 4 … up to the usable cores)")
    axes.add_argument("--batch-size", metavar="N,…", type=several(whole_number(1)), help="(the loader's own, else 32)")
    axes.add_argument(
        "--prefetch-factor",
        metavar="N,…",
        type=several(whole_number(1)),
        default=(2,),
        help="batches requested ahead of need, per worker (2)",
    )
    axes.add_argument("--pin-memory", metavar="on,off", type=on_off, default=(False,), help="copy batches to page-locked memory (off)")
    axes.add_argument("--persistent-workers", metavar="on,off", type=on_off, default=(False,), help="keep workers between epochs (off)")
    axes.add_argument(
        "--start-method", metavar="NAME,…", type=several(one_of(START_METHODS)), help="fork, spawn, forkserver (the system's default)"
    )
    axes.add_argument("--in-order", metavar="on,off", type=on_off, default=(True,), help="hand batches out in the sampler's order (on)")
    axes.add_argument("--backend", metavar="NAME,…", type=several(one_of(BACKENDS)), default=("process",), help="process, thread (process)")

    parser.add_argument("--startup", action="store_true", help=STARTUP_HELP)

    work = parser.add_argument_group("work of a trial")
    work.add_argument("--batches", metavar="N", type=batches, default=100, help="batches per epoch, or all (100)")
    work.add_argument("--epochs", metavar="N", type=whole_number(1), default=1, help="epochs per trial (1)")
    work.add_argument(
        "--repeats", metavar="R", type=whole_number(1), default=1, help="trials of each setting, interleaved; 3 settle ties (1)"
    )
    work.add_argument("--shuffle", metavar="on|off", type=switch, help="(the loader's own, else off)")
    work.add_argument("--seed", metavar="N", type=whole_number(0), default=0, help="of every trial (0)")
    work.add_argument(
        "--step",
        metavar="KIND",
        type=consumer,
        help="what takes the batches: none, sleep:MS, burn:MS, script, cuda:MS; for sleep and burn it is told how busy an "
        "accelerator of that step time would be; sleep leaves the cores to the workers, burn competes for them (the script's, else none)",
    )
    work.add_argument("--device", help="move each batch there before the step, e.g. cuda:0 (no transfer)")
    work.add_argument(
        "--h2d",
        choices=("blocking", "non_blocking", "overlapped"),
        default="blocking",
        help="how it is moved: overlapped is non_blocking on a stream of its own, beside the step before, as prefetchers do it; "
        "both need --pin-memory on to be more than a name (blocking)",
    )
    work.add_argument(
        "--gpu-window",
        metavar="STEPS",
        type=whole_number(1),
        help="after the measured epochs of each setting, profile so many further steps with torch.profiler: exactly how busy the "
        "GPU was, and the heaviest operators; they count for no other figure (none)",
    )
    work.add_argument(
        "--pcie",
        action="store_true",
        help="read the throughput over PCIe of each GPU of the trial every 2 seconds; NVML measures for 20 ms a direction (off)",
    )

    limits = parser.add_argument_group("limits and judgement")
    limits.add_argument(
        "--max-seconds",
        metavar="S",
        type=positive_seconds,
        help="end the sweep after this many seconds, in the midst of a trial if need be (no limit)",
    )
    limits.add_argument(
        "--timeout",
        metavar="S",
        type=positive_seconds,
        default=30.0,
        help="end a trial in which nothing happens for this many seconds (30)",
    )
    limits.add_argument(
        "--train-epochs", metavar="N", type=whole_number(1), default=10, help="length of your training, for which time is minimised (10)"
    )
    limits.add_argument(
        "--current", metavar="NAME=VALUE,…", type=setting, help="the setting you use now, e.g. num_workers=2 (the loader's own)"
    )
    limits.add_argument(
        "--forkserver-preload",
        metavar="MODULE,…",
        type=several(module_name),
        default=(),
        help="modules that a fork server imports before its workers (of Pythons before 3.13.8, what lies beside the script only if "
        "started there)",
    )
    limits.add_argument("--isolate", action="store_true", help="a fresh interpreter for every trial")
    limits.add_argument("--no-probe", dest="probe", action="store_false", help="do not look at one sample before the sweep")
    limits.add_argument(
        "--force", action="store_true", help="overwrite the output, and run settings that the forecast of memory and files would skip"
    )


def request_from(options: argparse.Namespace, script: Path, script_args: Sequence[str]) -> Request:
    """The request that parsed options make. `script` is made absolute."""
    return Request(
        script=str(script.absolute()),
        target=options.target,
        script_args=tuple(script_args),
        arguments=dict(options.arg),
        python=options.python,
        cwd=os.getcwd(),
        axes=Axes(
            num_workers=options.num_workers,
            batch_size=options.batch_size,
            prefetch_factor=options.prefetch_factor,
            pin_memory=options.pin_memory,
            persistent_workers=options.persistent_workers,
            start_method=options.start_method,
            in_order=options.in_order,
            backend=options.backend,
        ),
        batches=options.batches,
        epochs=options.epochs,
        repeats=options.repeats,
        shuffle=options.shuffle,
        seed=options.seed,
        train_epochs=options.train_epochs,
        consumer=options.step,
        device=options.device,
        h2d=options.h2d,
        max_seconds=options.max_seconds,
        timeout_s=options.timeout,
        load_timeout_s=options.load_timeout,
        current=options.current,
        forkserver_preload=options.forkserver_preload,
        probe=options.probe,
        force=options.force,
        isolate=options.isolate,
        gpu_window=options.gpu_window,
        pcie=options.pcie,
        startup=options.startup,
    )
