"""The figures of a setting: one row each, from which the columns of the window, the report and the terminal are made.

`SettingResult` holds the values: a row's `field` names its field, which is also the key in the JSON document.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Collection

from loaderscope.facts.estimates import Estimate
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.text import bytes_text, duration_text, mean_count_text, rate_text, share_bounds_text, share_text, uncertainty_text

PASS_MARK = 0.90
"""Share of time for which MLPerf Storage requires an accelerator to be busy (https://mlcommons.org/benchmarks/storage/)."""

NOTABLE_SHARE = 0.05

_INTERVAL = ".ci95"


class Repeats(enum.Enum):
    """How the repeats of a setting become one figure."""

    MEAN = enum.auto()
    LARGEST = enum.auto()
    ESTIMATE = enum.auto()  # the mean, with an interval


class Shown(enum.Enum):
    """When the window and the report show a column for a figure."""

    ALWAYS = enum.auto()
    WHERE_MEASURED = enum.auto()
    WHERE_NOT_ZERO = enum.auto()
    WHERE_NOTABLE = enum.auto()  # any value reaches NOTABLE_SHARE
    NEVER = enum.auto()

    def among(self, values: Collection[float | None]) -> bool:
        """Whether these values get a column."""
        if self is Shown.WHERE_MEASURED:
            return any(value is not None for value in values)
        if self is Shown.WHERE_NOT_ZERO:
            return any(values)
        if self is Shown.WHERE_NOTABLE:
            return any(value is not None and value >= NOTABLE_SHARE for value in values)
        return self is Shown.ALWAYS


@dataclasses.dataclass(frozen=True)
class Measure:
    """A figure of a setting.

    Attributes:
        key: its field of `SettingResult`; with the suffix `.ci95`, half the interval of that field as a share of the value.
        title: heading of its column.
        tip: its explanation.
        text: formats a value.
        unit: follows the text in a sentence; empty if the text contains it.
        bounds: keys of the figures between which the value lies, if it is not known exactly; the value itself may be one of them.
        repeats: how repeats become one figure.
        shown: when the window and the report show its column.
        rank: a terminal too narrow for all columns drops those of highest rank first, and never rank 0: one throughput always has a
            column. It shows another only if any setting has a value, and never one with rank None.
    """

    key: str
    title: str
    tip: str
    text: Callable[[float | None], str]
    unit: str = ""
    bounds: tuple[str, str] | None = None
    repeats: Repeats = Repeats.MEAN
    shown: Shown = Shown.ALWAYS
    rank: int | None = None

    @property
    def field(self) -> str:
        """The field of `SettingResult` with its values."""
        return self.key.removesuffix(_INTERVAL)

    def of(self, setting: SettingResult) -> float | None:
        """Returns its value for a setting, or its lower bound if only that is known, or None."""
        value = getattr(setting, self.field)
        if value is None and self.bounds is not None:
            value = getattr(setting, self.bounds[0])
        if isinstance(value, Estimate):
            value = value.relative_half_width if self.key.endswith(_INTERVAL) else value.value
        return None if value is None else float(value)

    def text_of(self, setting: SettingResult) -> str:
        """Returns its value for a setting as text, as a range where only bounds are known."""
        low, high = (getattr(setting, bound) for bound in self.bounds) if self.bounds is not None else (None, None)
        if low is None and high is None:  # as in sessions of older versions
            return self.text(self.of(setting))
        return share_bounds_text(low, high)

    def with_unit(self, value: float | None) -> str:
        """Returns a value with its unit, for a sentence: 841 samples/s."""
        return f"{self.text(value)} {self.unit}" if self.unit else self.text(value)


def _share_with_mark(share: float | None) -> str:
    return share_text(share) + ("" if share is None else " ✓" if share >= PASS_MARK else " ✗")


def step_share_text(share: float | None) -> str:
    """Returns the share of the step as text; a dash for exactly 0, which means that there was no step."""
    return share_text(share or None)


MEASURES: tuple[Measure, ...] = (
    Measure(
        key="samples_per_second",
        title="samples/s",
        tip="Steady throughput, without start-up and the end of the epoch",
        text=rate_text,
        unit="samples/s",
        repeats=Repeats.ESTIMATE,
        rank=0,
    ),
    Measure(
        key="samples_per_second.ci95",
        title="±",
        tip="Half of the 95 % interval of the throughput, as a share of it; needs six blocks of batches",
        text=uncertainty_text,
        repeats=Repeats.ESTIMATE,
        rank=3,
    ),
    Measure(
        key="batches_per_second",
        title="batches/s",
        tip="Steady throughput in batches, where it is unknown how many samples they hold (--samples-of counts them)",
        text=rate_text,
        unit="batches/s",
        repeats=Repeats.ESTIMATE,
        shown=Shown.WHERE_MEASURED,
        rank=0,
    ),
    Measure(
        key="batches_per_second.ci95",
        title="± batches",
        tip="Half of the 95 % interval of the throughput in batches, as a share of it",
        text=uncertainty_text,
        repeats=Repeats.ESTIMATE,
        shown=Shown.WHERE_MEASURED,
        rank=3,
    ),
    Measure(
        key="epoch_s",
        title="epoch",
        tip="Time of one whole epoch over the full dataset: start-up, steady state and end",
        text=duration_text,
        repeats=Repeats.ESTIMATE,
        rank=2,
    ),
    Measure(
        key="train_s",
        title="training",
        tip="Projected time of the whole training, which the recommendation minimises",
        text=duration_text,
        shown=Shown.NEVER,
        rank=1,
    ),
    Measure(
        key="first_batch_s",
        title="first batch",
        tip="From iter(loader) to the first batch: what starting workers costs",
        text=duration_text,
        rank=2,
    ),
    Measure(
        key="end_s",
        title="epoch end",
        tip="From the last batch to the end of the epoch, workers joined",
        text=duration_text,
        shown=Shown.NEVER,
    ),
    Measure(
        key="wait_share",
        title="wait",
        tip="Share of the steady state that the main process waits for a batch",
        text=share_text,
        rank=1,
    ),
    Measure(
        key="transfer_share",
        title="to device",
        tip="Share of the steady state that the transfer to the device takes",
        text=share_text,
        shown=Shown.NEVER,
    ),
    Measure(
        key="step_share",
        title="step",
        tip="Share of the steady state that the consumer's step takes; – without a step",
        text=step_share_text,
        shown=Shown.WHERE_NOT_ZERO,
        rank=4,
    ),
    Measure(
        key="other_share",
        title="other",
        tip="Share of the steady state that the main process spends on anything else",
        text=share_text,
        shown=Shown.NEVER,
    ),
    Measure(
        key="accelerator_share",
        title="accel.",
        tip="Share of the steady state for which an accelerator that needs the simulated step's time would be busy; "
        f"{share_text(PASS_MARK)} passes",
        text=_share_with_mark,
        shown=Shown.WHERE_MEASURED,
        rank=2,
    ),
    Measure(
        key="gpu_busy_share",
        title="GPU busy",
        tip="Share of the steady state that the GPU works. It is known between two bounds: while the host is still issuing a step, the GPU "
        "may idle between its kernels; – without a GPU",
        text=share_text,
        bounds=("gpu_busy_share_low", "gpu_busy_share"),
        shown=Shown.WHERE_MEASURED,
        rank=5,
    ),
    Measure(
        key="data_stall_share",
        title="GPU stall",
        tip="Share of the steady state that the GPU idles while the main process waits for data; a range where device times are rough",
        text=share_text,
        bounds=("data_stall_share_low", "data_stall_share_high"),
        shown=Shown.WHERE_MEASURED,
        rank=5,
    ),
    Measure(
        key="gpu_other_idle_share",
        title="GPU other",
        tip="Share of the steady state that the GPU idles for other reasons",
        text=share_text,
        shown=Shown.WHERE_MEASURED,
        rank=6,
    ),
    Measure(
        key="copy_overlap_share",
        title="overlap",
        tip="Share of the time of copies to the GPU for which it also worked on a step, at most: a pause of a step counts as work; "
        "– where copies do not go to a stream of their own",
        text=share_text,
        shown=Shown.WHERE_NOT_ZERO,
        rank=6,
    ),
    *(
        Measure(key=key, title=title, tip=tip, text=share_text, shown=Shown.NEVER)
        for key, title, tip in (
            ("gpu_busy_share_low", "GPU busy, at least", "Lower bound of the share for which the GPU works"),
            ("data_stall_share_low", "GPU stall, at least", "Lower bound of the share for which the GPU waits for data"),
            ("data_stall_share_high", "GPU stall, at most", "Upper bound of the share for which the GPU waits for data"),
        )
    ),
    Measure(
        key="energy_per_1000_samples_j",
        title="J/1000",
        tip="Joules that the GPUs of the trial take for 1,000 samples of the steady state, by their energy counters",
        text=rate_text,
        unit="J for 1,000 samples",
        shown=Shown.WHERE_MEASURED,
        rank=6,
    ),
    Measure(
        key="peak_total_bytes",
        title="memory",
        tip="Largest sum of PSS over main and workers at one time (PSS: shared pages counted by share)",
        text=bytes_text,
        repeats=Repeats.LARGEST,
        rank=3,
    ),
    Measure(
        key="batch_bytes",
        title="sent",
        tip="Mean bytes of a batch that a worker sends: memory that its tensors occupy, and the rest as it is pickled",
        text=bytes_text,
        shown=Shown.WHERE_MEASURED,
        rank=7,
    ),
    Measure(
        key="batch_tensors",
        title="tensors",
        tip="Mean number of tensors in a batch that a worker sends; each is handed over by itself, so many small ones cost time",
        text=mean_count_text,
        unit="tensors",
        shown=Shown.WHERE_MEASURED,
        rank=7,
    ),
    Measure(
        key="disturbed_share",
        title="others' CPU",
        tip="Largest share of the usable cores that other programs took during a trial",
        text=share_text,
        repeats=Repeats.LARGEST,
        shown=Shown.WHERE_NOTABLE,
        rank=7,
    ),
)
"""In the order of their columns."""

BY_KEY = {measure.key: measure for measure in MEASURES}

THROUGHPUT = BY_KEY["samples_per_second"]
BATCH_THROUGHPUT = BY_KEY["batches_per_second"]
THROUGHPUTS = (THROUGHPUT, BATCH_THROUGHPUT)
THROUGHPUT_INTERVAL = BY_KEY["samples_per_second.ci95"]
FIRST_BATCH = BY_KEY["first_batch_s"]


def throughput_of(result: TrialResult | SettingResult) -> str | None:
    """Returns the throughput with its unit, for a sentence; None if unknown."""
    for measure in THROUGHPUTS:
        estimate: Estimate | None = getattr(result, measure.field)
        if estimate is not None:
            return measure.with_unit(estimate.value)
    return None
