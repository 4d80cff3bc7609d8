"""Samples the processes of a trial through the system: CPU, memory, reads, context switches, affinity."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

import psutil

from loaderscope.agent import layout
from loaderscope.facts.lanes import WORKERS_AFFINITY_SERIES
from loaderscope.facts.thread_waits import WAITS_SERIES
from loaderscope.telemetry.sampled_value import Sample
from loaderscope.trace.model import SeriesInfo

if sys.platform == "linux":
    from loaderscope.telemetry import waits_linux as waits
else:
    from loaderscope.telemetry import waits_anywhere as waits

MEMORY_INTERVAL_S = 1.0
"""Between two readings of memory, at least: a read of smaps_rollup holds a lock of the process that is measured."""
MEMORY_COST_FACTOR = 100
"""The pause after a reading is at least this many times its CPU time, so that reading a big process takes at most 1 % of a core."""
MEMORY_COST_FACTOR_SOON = 50
"""The same where more processes run than were ever read together (at most 2 %): more of them share their common pages.

Workers that merely replace earlier ones wait for their turn: in short epochs each reading would fall into the few batches that are
measured.
"""
CPU_WINDOW_NS = 250_000_000
"""The usual distance of two samples; a CPU share is an average over it."""
_PAGE_BYTES = 4096
_KINDS_WITH_EVENT_LOG = ("pss", "uss", "rss")
"""Kinds of memory that count the mapped pages of our event log; private bytes and commit do not count mapped files."""


@dataclasses.dataclass
class _Watched:
    process: psutil.Process
    cpu_seconds: float
    cpu_time_ns: int
    next_memory_s: float = 0.0  # when memory is due
    soonest_memory_s: float = 0.0  # when memory may be read at the earliest, if a new process appears
    disk_bytes: int = 0
    cache_bytes: int = 0


class ProcessSampler:
    """Samples the processes of one trial from outside; all calls come from one thread.

    Attributes:
        unavailable: group -> why this system does not report it.
    """

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._watched: dict[tuple[str, int], _Watched] = {}
        self._most_read = 0  # processes whose memory was read together
        self._next_memory_s = 0.0  # when memory is due, for processes that replace others
        self._ended_reads: dict[str, tuple[int, int]] = {}  # bytes that earlier processes of this name read
        self._reads_before: dict[str, tuple[int, int]] = {}  # bytes that were read before the trial
        self._workers_cores: set[int] = set()  # that the workers of the newest sample may use
        self.unavailable: dict[str, str] = {}

    def sample(self, processes: list[tuple[str, int]], memory_now: bool = False) -> list[Sample]:
        """Samples those of the processes that are alive.

        Args:
            processes: (name, pid) of the trial's processes so far.
            memory_now: read memory even if it was read a moment ago, unless a process is gone: the others would count the pages that
                it shared a second time.
        """
        samples: list[Sample] = []
        are_more = len(processes) > self._most_read
        if are_more:
            for watched in self._watched.values():
                watched.next_memory_s = min(watched.next_memory_s, watched.soonest_memory_s)
        memory_now = memory_now and all(_is_alive(pid) for _, pid in processes)
        for key in [key for key in self._watched if key not in processes]:
            self._stop_watching(key)
        read_count = 0
        self._workers_cores.clear()
        for name, pid in processes:
            try:
                watched = self._watched.get((name, pid)) or self._start_watching(name, pid, 0.0 if are_more else self._next_memory_s)
                with watched.process.oneshot():
                    self._sample_cpu(samples, name, watched)
                    self._sample_counts(samples, name, watched)
                    self._sample_reads(samples, name, watched)
                if memory_now or time.monotonic() >= watched.next_memory_s:
                    self._sample_memory(samples, name, watched)
                    read_count += 1
            except (psutil.NoSuchProcess, ProcessLookupError):
                self._stop_watching((name, pid))
            except (psutil.Error, OSError) as error:
                self.unavailable[f"processes/{name}"] = f"the system does not let us look at the process: {error}"
        if self._workers_cores:
            info = SeriesInfo(WORKERS_AFFINITY_SERIES, "affinity", "cores that the workers together may use", "cores")
            samples.append(Sample(info, time.perf_counter_ns(), len(self._workers_cores)))
        self._most_read = max(self._most_read, read_count)
        self._next_memory_s = max((watched.next_memory_s for watched in self._watched.values()), default=0.0)
        return samples

    def _start_watching(self, name: str, pid: int, next_memory_s: float) -> _Watched:
        process = psutil.Process(pid)
        times = process.cpu_times()
        watched = _Watched(process, times.user + times.system, time.perf_counter_ns(), next_memory_s)
        self._watched[name, pid] = watched
        if name == "main":  # unlike workers, main has read before the trial
            self._reads_before.setdefault(name, _read_bytes(process) or (0, 0))
        return watched

    def _stop_watching(self, key: tuple[str, int]) -> None:
        watched = self._watched.pop(key, None)
        if watched is not None:
            disk, cache = self._ended_reads.get(key[0], (0, 0))
            self._ended_reads[key[0]] = (disk + watched.disk_bytes, cache + watched.cache_bytes)

    def _sample_cpu(self, samples: list[Sample], name: str, watched: _Watched) -> None:
        now_ns = time.perf_counter_ns()
        times = watched.process.cpu_times()
        seconds = times.user + times.system
        window_ns = now_ns - watched.cpu_time_ns
        if window_ns < 20_000_000:  # two ticks of the system's CPU clock; a shorter window gives noise
            return
        share = (seconds - watched.cpu_seconds) / (window_ns / 1e9)
        watched.cpu_seconds, watched.cpu_time_ns = seconds, now_ns
        samples.append(Sample(SeriesInfo(f"cpu/{name}", "cpu", f"CPU of {name}", "%", name, CPU_WINDOW_NS), now_ns, 100 * share))

    def _sample_counts(self, samples: list[Sample], name: str, watched: _Watched) -> None:
        process = watched.process
        samples.append(_sample("threads", name, process.num_threads()))
        switches = process.num_ctx_switches()
        samples.append(_sample("ctx_voluntary", name, switches.voluntary))
        if sys.platform != "win32":  # Windows has one count for both, which psutil gives as voluntary
            samples.append(_sample("ctx_involuntary", name, switches.involuntary))
        if hasattr(process, "cpu_affinity"):
            cores = process.cpu_affinity()
            samples.append(_sample("affinity", name, len(cores)))
            if name.startswith("worker-"):
                self._workers_cores.update(cores)

    def sample_waits(self, processes: list[tuple[str, int]]) -> list[Sample]:
        """Samples what the main threads of the processes wait for, which costs some microseconds each."""
        if waits.UNAVAILABLE is not None:
            self.unavailable[WAITS_SERIES] = waits.UNAVAILABLE
            return []
        samples = []
        for name, pid in processes:
            wait = waits.read_wait(pid)
            if wait is not None:
                samples.append(_sample(WAITS_SERIES, name, wait))
        return samples

    def _sample_reads(self, samples: list[Sample], name: str, watched: _Watched) -> None:
        reads = _read_bytes(watched.process)
        if reads is None:
            self.unavailable["reads"] = "this system does not tell what a process reads from disk and from cache"
            return
        before, ended = self._reads_before.get(name, (0, 0)), self._ended_reads.get(name, (0, 0))
        watched.disk_bytes = max(0, reads[0] - before[0])
        # the difference may shrink: a later read from disk for a mapped file is subtracted from it, see `_read_bytes`
        watched.cache_bytes = max(watched.cache_bytes, reads[1] - before[1])
        samples.append(_sample("read_disk", name, watched.disk_bytes + ended[0]))
        samples.append(_sample("read_cache", name, watched.cache_bytes + ended[1]))

    def _sample_memory(self, samples: list[Sample], name: str, watched: _Watched) -> None:
        began_s = time.thread_time()  # CPU time: waiting for a busy core costs nobody
        values = process_memory(watched.process)
        cost_s = time.thread_time() - began_s
        now_s = time.monotonic()
        watched.next_memory_s = now_s + max(MEMORY_INTERVAL_S, MEMORY_COST_FACTOR * cost_s)
        watched.soonest_memory_s = now_s + MEMORY_COST_FACTOR_SOON * cost_s
        log_bytes = mapped_log_bytes(self._log_dir, watched.process.pid)
        for kind, size in values.items():
            samples.append(_sample(kind, name, max(0, size - log_bytes) if kind in _KINDS_WITH_EVENT_LOG else size))


_SERIES = {
    "threads": ("threads", "threads of {}", "threads"),
    "ctx_voluntary": ("context_switches", "voluntary switches of {}", "switches"),
    "ctx_involuntary": ("context_switches", "involuntary switches of {}", "switches"),
    "affinity": ("affinity", "cores that {} may use", "cores"),
    WAITS_SERIES: (WAITS_SERIES, "what {} waits for", "kind of wait"),
    "read_disk": ("read_disk", "read from disk by {}", "bytes"),
    "read_cache": ("read_cache", "read from cache by {}", "bytes"),
    "pss": ("memory", "PSS of {}", "bytes"),
    "uss": ("memory", "USS of {}", "bytes"),
    "rss": ("memory", "RSS of {}", "bytes"),
    "private": ("memory", "private bytes of {}", "bytes"),
    "commit": ("memory", "commit of {}", "bytes"),
    "shared_dirty": ("memory_shared", "shared dirty pages of {}", "bytes"),
}
"""By the first part of a series' key: its group, label and unit."""


def _sample(kind: str, process: str, value: float) -> Sample:
    group, label, unit = _SERIES[kind]
    return Sample(SeriesInfo(f"{kind}/{process}", group, label.format(process), unit, process), time.perf_counter_ns(), float(value))


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False


def _read_bytes(process: psutil.Process) -> tuple[int, int] | None:
    """Bytes that the process has read from disk and from the page cache since it began; None if the system does not count them.

    On Linux `rchar` counts the bytes of every read call, pipes included; `read_bytes` counts the bytes that came from disk. Reads of
    a mapped file count in the second only.
    """
    if not sys.platform.startswith("linux"):
        return None
    try:
        counters = process.io_counters()
    except (psutil.AccessDenied, AttributeError, NotImplementedError):
        return None
    return int(counters.read_bytes), max(0, int(counters.read_chars) - int(counters.read_bytes))


def process_memory(process: psutil.Process) -> dict[str, int]:
    """Memory in bytes by kind: pss, uss, rss and shared_dirty on Linux; uss, rss on macOS; uss, rss, private, commit on Windows."""
    if sys.platform.startswith("linux"):
        rollup = read_smaps_rollup(process.pid)
        if rollup is not None:
            return rollup
    full = process.memory_full_info()
    values = {"uss": int(full.uss), "rss": int(full.rss)}
    for kind, attribute in (("pss", "pss"), ("private", "private"), ("commit", "pagefile")):
        if hasattr(full, attribute):
            values[kind] = int(getattr(full, attribute))
    return values


def read_smaps_rollup(pid: int) -> dict[str, int] | None:
    """pss, uss, rss and shared_dirty in bytes; None if the kernel (before 4.14) has no rollup.

    Raises:
        ProcessLookupError, PermissionError: the process is gone or another user's.
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    fields = {}
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition(":")
        fields[name] = int(rest.split()[0]) * 1024
    if "Pss" not in fields:  # a zombie has no memory any more
        raise ProcessLookupError(pid)
    uss = fields["Private_Clean"] + fields["Private_Dirty"]
    return {"pss": fields["Pss"], "uss": uss, "rss": fields["Rss"], "shared_dirty": fields["Shared_Dirty"]}


def mapped_log_bytes(log_dir: Path, pid: int) -> int:
    """Bytes of mapped pages that the process's event log occupies, computed from the number of records written."""
    newest: tuple[int, int, Path] | None = None
    for path in log_dir.glob(f"{pid}-*{layout.SUFFIX}"):
        opened, segment, _ = path.name.partition("-")[2].split(".", 2)
        if newest is None or (int(opened), int(segment)) > newest[:2]:
            newest = (int(opened), int(segment), path)
    if newest is None:
        return 0
    touched = layout.own_mapped_bytes(newest[1] * layout.SEGMENT_RECORDS + _records_written(newest[2]))
    return -(-touched // _PAGE_BYTES) * _PAGE_BYTES


def _records_written(path: Path) -> int:
    """The number of records written in a segment, by bisection: only written ones have a sequence word."""
    low, high = 0, layout.SEGMENT_RECORDS
    try:
        with path.open("rb", buffering=0) as file:
            while low < high:
                middle = (low + high) // 2
                file.seek(layout.HEADER_BYTES + middle * layout.RECORD.size)
                data = file.read(layout.RECORD.size)
                if len(data) == layout.RECORD.size and layout.RECORD.unpack(data)[-1]:
                    low = middle + 1
                else:
                    high = middle
    except OSError:
        return 0
    return low
