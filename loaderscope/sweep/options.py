"""The options of `loaderscope run`: defines their names and help, and makes a request from their values."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loaderscope.agent.epoch_count import SHORT_EPOCH_S
from loaderscope.agent.messages import Consumer, TrialConfig
from loaderscope.facts.consumers import consumer_kind, options_text
from loaderscope.facts.request import DEFAULT_BATCHES, MODULE_OPTION, Axes, Request, default_cwd
from loaderscope.facts.settings import BY_FIELD, SETTINGS, Value, switch, whole_number, with_torch_defaults

LONGEST_S = 366 * 24 * 3600.0
"""The longest time that an option takes: timers of the system overflow at some hundreds of years."""


def positive_seconds(text: str) -> float:
    """Converts a number of seconds above 0, at most a year."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    if value > LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text} seconds are longer than a year")
    return value


def several(convert: Callable[[str], Value]) -> Callable[[str], tuple[Value, ...]]:
    """Returns a converter of values between commas; a value that is given twice counts once."""

    def convert_all(text: str) -> tuple[Value, ...]:
        return tuple(dict.fromkeys(convert(part.strip()) for part in text.split(",")))

    return convert_all


def batches(text: str) -> int | None:
    """Converts a number of batches; `all` gives None."""
    return None if text == "all" else whole_number(1)(text)


def consumer(text: str) -> Consumer:
    """Converts the name of a consumer, such as `none`, `script` or `sleep:MS`."""
    key, colon, milliseconds = text.partition(":")
    kind = consumer_kind(key)
    if kind is None:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {options_text()}")
    if not kind.is_timed:
        if colon:
            raise argparse.ArgumentTypeError(f"{key} takes no milliseconds")
        return Consumer(key)
    try:
        value = float(milliseconds)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} lacks its milliseconds, write {key}:20") from None
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"{milliseconds} is no number of milliseconds from 0 on")
    return Consumer(key, value)


def argument(text: str) -> tuple[str, str]:
    """Converts `NAME=VALUE` into a pair."""
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def environment_variable(text: str) -> tuple[str, str]:
    """Converts `NAME=VALUE` into a pair; the name is any that the system takes."""
    name, equals, value = text.partition("=")
    if not (equals and name) or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def module_name(text: str) -> str:
    """Checks a dotted module name."""
    if not all(part.isidentifier() for part in text.split(".")):
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a module")
    return text


def expression(text: str) -> str:
    """Checks an expression of Python."""
    try:
        compile(text, "--samples-of", "eval")
    except (SyntaxError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no expression of Python: {error}") from None
    return text


def setting(text: str) -> TrialConfig:
    """Converts one setting of the loader, such as `num_workers=2,pin_memory=on`; other fields get torch's defaults."""
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name not in BY_FIELD:
            raise argparse.ArgumentTypeError(f"{part!r} is not NAME=VALUE with one of the names {', '.join(BY_FIELD)}")
        values[name] = BY_FIELD[name].parse(value)
    return with_torch_defaults(values)


def add_module_option(container: argparse._ActionsContainer) -> None:
    """Adds `-m MODULE`, which takes the place of a script."""
    module_help = "in place of SCRIPT: a module or package, as `python -m` runs it"
    container.add_argument(MODULE_OPTION, metavar="MODULE", dest="module", type=module_name, help=module_help)


def add_script_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that all commands share which load a script."""
    group = parser.add_argument_group("the script")
    add_module_option(group)
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
        "--env",
        metavar="NAME=VALUE",
        type=environment_variable,
        action="append",
        default=[],
        help="a variable for its environment; what is saved keeps the name only",
    )
    group.add_argument("--cwd", metavar="DIR", type=os.path.abspath, help="the folder in which it runs (this one; of a notebook, its own)")
    group.add_argument(
        "--load-timeout", metavar="S", type=positive_seconds, default=60.0, help="give up loading the script after this many seconds (60)"
    )
    group.add_argument(
        "--look",
        metavar="S",
        type=positive_seconds,
        help="run the script for S seconds at most, past all its DataLoaders and up to its first optimizer step, to see which there are "
        "(up to the first with which it seems to train)",
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
    """Adds the options that narrow the self-test."""
    group = parser.add_argument_group("self-test", "Each narrows it to one or more values between commas.")
    for field, default in (("num_workers", "(0, 1, 2 and, with enough processors, 4)"), ("start_method", "(all that the system has)")):
        one = BY_FIELD[field]
        group.add_argument(one.option, metavar=one.metavar, type=several(one.parse), help=default)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Adds all options of `run` from which the request is made."""
    add_script_options(parser)
    axes = parser.add_argument_group("axes of the sweep", "Each takes one or more values between commas; every combination is run.")
    for one in SETTINGS:
        axes.add_argument(one.option, metavar=one.metavar, type=several(one.parse), default=one.default, help=one.help)

    parser.add_argument("--startup", action="store_true", help=STARTUP_HELP)

    work = parser.add_argument_group("work of a trial")
    work.add_argument(
        "--batches",
        metavar="N",
        type=batches,
        default=DEFAULT_BATCHES,
        help=f"batches per epoch, or all ({DEFAULT_BATCHES}; more for a setting with so many workers that these would show no rate)",
    )
    work.add_argument(
        "--epochs",
        metavar="N",
        type=whole_number(1),
        help=f"epochs per trial (1; 2 where the first takes under {SHORT_EPOCH_S:g} s; more where an epoch has too few batches for a rate)",
    )
    work.add_argument(
        "--repeats", metavar="R", type=whole_number(1), default=1, help="trials of each setting, interleaved; 3 settle ties (1)"
    )
    work.add_argument("--shuffle", metavar="on|off", type=switch, help="(the loader's own, else off)")
    work.add_argument("--seed", metavar="N", type=whole_number(0), default=0, help="of every trial (0)")
    work.add_argument(
        "--samples-of",
        metavar="EXPRESSION",
        type=expression,
        help="how many samples `batch` holds, e.g. 'len(batch[0])' (by the indices of the sampler, else the batch's first dimension)",
    )
    work.add_argument(
        "--step",
        metavar="KIND",
        type=consumer,
        help=f"what takes the batches: {options_text()}; for sleep and burn it is told how busy an "
        "accelerator of that step time would be; sleep leaves the cores to the workers, burn competes for them; device keeps the "
        "current accelerator busy, cuda prefers CUDA where torch has several (the script's, else none)",
    )
    work.add_argument(
        "--no-ceiling",
        dest="ceiling",
        action="store_false",
        help="do not measure how fast the step could be with a perfect loader, which has every batch ready: the ceiling of any setting "
        "(measured last, for a step that does real work)",
    )
    work.add_argument(
        "--no-probe-trial",
        dest="probe_trial",
        action="store_false",
        help="leave out the short trial, after all others, that looks closer at what workers do with the dataset: equal samples, equal "
        "random numbers, state that is lost",
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
        "--repeat-disturbed",
        metavar="N",
        type=whole_number(0),
        default=2,
        help="measure a trial that other programs disturbed up to so many times again, after the others (2)",
    )
    limits.add_argument(
        "--timeout",
        metavar="S",
        type=positive_seconds,
        default=30.0,
        help="end a trial in which nothing happens for this many seconds (30)",
    )
    length = limits.add_mutually_exclusive_group()
    length.add_argument(
        "--train-epochs",
        metavar="N",
        type=whole_number(1),
        default=10,
        help="length of your training, for which time is minimised (10; where an epoch takes over 4 hours, or nobody knows its length: "
        "1000 batches)",
    )
    length.add_argument(
        "--train-batches", metavar="N", type=whole_number(1), help="the same for a training that counts batches (steps), not epochs"
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
        "--force",
        action="store_true",
        help="overwrite the output, and run settings that would be skipped: by the forecast of memory and files, or because torch finds "
        "no accelerator to pin memory for",
    )


def request_from(options: argparse.Namespace, script: Path, script_args: Sequence[str]) -> Request:
    """Makes the request from parsed options, with the absolute path of `script`."""
    return Request(
        script=str(script.absolute()),
        module=options.module,
        target=options.target,
        script_args=tuple(script_args),
        arguments=dict(options.arg),
        environment_variables=dict(options.env),
        python=options.python,
        cwd=options.cwd or default_cwd(str(script.absolute())),
        axes=Axes.of({one.field: getattr(options, one.field) for one in SETTINGS}),
        batches=options.batches,
        epochs=options.epochs,
        repeats=options.repeats,
        shuffle=options.shuffle,
        seed=options.seed,
        train_epochs=options.train_epochs,
        train_batches=options.train_batches,
        consumer=options.step,
        device=options.device,
        h2d=options.h2d,
        max_seconds=options.max_seconds,
        repeat_disturbed=options.repeat_disturbed,
        timeout_s=options.timeout,
        load_timeout_s=options.load_timeout,
        look_s=options.look,
        current=options.current,
        forkserver_preload=options.forkserver_preload,
        probe=options.probe,
        force=options.force,
        isolate=options.isolate,
        gpu_window=options.gpu_window,
        samples_of=options.samples_of,
        pcie=options.pcie,
        startup=options.startup,
        ceiling=options.ceiling,
        probe_trial=options.probe_trial,
    )
