"""Finds workers whose libraries compute with several threads each, far more in all than there are cores.

Torch gives each worker one thread; OpenCV, OpenBLAS, MKL and OpenMP do not know that they run in a worker.
"""

from __future__ import annotations

import dataclasses

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.findings.fetch_limits import fetching_of
from loaderscope.analysis.intervals import mean
from loaderscope.facts.findings import Finding, Remedy
from loaderscope.facts.results import SettingResult
from loaderscope.facts.text import share_text

CODE = "thread-storm"
MIN_THREADS_PER_CORE = 1.5
"""So many threads compute, or are ready to, for each usable core or worker: each of them waits for a third of its time."""
MIN_OTHER_SHARE = 0.25
"""Threads beside the one that fetches take this share of the workers' CPU time: one of two threads takes a half of it."""
MIN_DELAY_PER_CORE = 0.25
"""So many threads of workers are ready and have no core, for each usable core."""

ENVIRONMENT = (("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1"), ("MKL_NUM_THREADS", "1"), ("OPENCV_FOR_THREADS_NUM", "1"))
_REMEDY = Remedy(CODE, " ".join(f"{name}={value}" for name, value in ENVIRONMENT), ENVIRONMENT)
_CHANGE = (
    "def worker_init_fn(worker_id):\n"
    "    cv2.setNumThreads(0)  # where the dataset uses OpenCV\n"
    "    threadpoolctl.threadpool_limits(1)  # NumPy, SciPy and OpenMP; or set OMP_NUM_THREADS=1 before Python starts"
)


@dataclasses.dataclass(frozen=True)
class _Threads:
    """Means over the trials of a setting; see `FetchUse`."""

    worker_cores: float
    others_cores: float
    run_delay_cores: float

    @property
    def runnable(self) -> float:
        """Threads that compute or are ready to, at one time."""
        return self.worker_cores + self.run_delay_cores


def find(context: Context) -> list[Finding]:
    """Returns one finding about the subject, or else about the setting with most threads."""
    storms = [(setting, threads) for setting in context.settings if (threads := _storm(context, setting)) is not None]
    if not storms:
        return []
    subject = context.subject
    setting, threads = max(storms, key=lambda pair: (pair[0] is subject, pair[1].runnable))
    cpus, workers = context.usable_cpus or 1, setting.config.num_workers
    tried = next(iter(context.remedied(CODE, setting)), None)
    gain = context.gain_between(setting, tried) if tried is not None else None
    measured = ""
    if tried is not None and tried.rate is not None and setting.rate is not None and setting.rate.value:
        measured = f" With one thread each, it gave {tried.rate.value / setting.rate.value:.2f} times the throughput."
    return [
        Finding(
            code=CODE,
            severity=context.severity_of_gain(setting, gain),
            trials=setting.trials,
            message=(
                f"With {context.name_of(setting.config)} about {threads.runnable:.0f} threads compute or are ready to in {workers} workers "
                f"on {cpus} cores: threads of libraries take {share_text(threads.others_cores / threads.worker_cores)} of the workers' CPU "
                f"time, and {threads.run_delay_cores:.1f} threads wait for a core all the time.{measured}"
            ),
            evidence={
                "runnable_threads": round(threads.runnable, 2),
                "min_threads": MIN_THREADS_PER_CORE * max(cpus, workers),
                "worker_cores": round(threads.worker_cores, 4),
                "other_threads_cores": round(threads.others_cores, 4),
                "min_other_share": MIN_OTHER_SHARE,
                "run_delay_cores": round(threads.run_delay_cores, 4),
                "min_run_delay_cores": MIN_DELAY_PER_CORE * cpus,
                "usable_cpus": cpus,
            },
            advice="Give the libraries that the dataset uses one thread in each worker: the workers themselves keep the cores busy.",
            gain_s=gain,
            places=fetching.longest if (fetching := fetching_of(context, setting)) is not None else [],
            change=_CHANGE,
            remedy=_REMEDY if tried is None else None,
            config=setting.config if tried is None else None,
        )
    ]


def is_storm(context: Context, setting: SettingResult) -> bool:
    """Whether the threads of a setting's workers are far more than the cores."""
    return _storm(context, setting) is not None


def _storm(context: Context, setting: SettingResult) -> _Threads | None:
    cpus = context.usable_cpus
    uses = [trial.signs.fetch_use for trial in context.trials_of(setting) if trial.signs is not None]
    rows = [(use.worker_cores, use.other_threads_cores, use.run_delay_cores) for use in uses if use is not None]
    known = [row for row in rows if None not in row]
    if not cpus or setting.config.num_workers < 2 or not known:
        return None
    threads = _Threads(*(mean([value or 0.0 for value in column]) for column in zip(*known, strict=True)))
    is_storm = (
        threads.runnable >= MIN_THREADS_PER_CORE * max(cpus, setting.config.num_workers)
        and threads.others_cores >= MIN_OTHER_SHARE * threads.worker_cores > 0
        and threads.run_delay_cores >= MIN_DELAY_PER_CORE * cpus
    )
    return threads if is_storm else None
