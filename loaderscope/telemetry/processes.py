"""What the system tells about the processes of a trial: CPU, memory, reads, context switches, affinity."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

import psutil

from loaderscope.agent import layout
from loaderscope.telemetry.sampled_value import Sample
from loaderscope.trace.model import SeriesInfo

MEMORY_INTERVAL_S = 1.0
"""smaps_rollup holds a lock of the process that it looks at, so it is read once a second at most."""
MEMORY_COST_FACTOR = 100
"""... and so that reading takes at most 1 % of a core: a big process is looked at less often. Waiting for a busy core costs nobody."""
MEMORY_COST_FACTOR_SOON = 50
"""When a process has appeared, all are read anew, because what they share is divided among more now: then at most 2 %."""
CPU_WINDOW_NS = 250_000_000
"""The usual distance of two samples, over which a CPU share averages."""
_PAGE_BYTES = 4096
_WITH_OWN_LOG = ("pss", "uss", "rss")
"""Figures that count the mapped pages of our own event log; private bytes and commit do not count mapped files."""


@dataclasses.dataclass
class _Watched:
    process: psutil.Process
    cpu_seconds: float
    cpu_time_ns: int
    next_memory_s: float = 0.0  # when it is due
    soonest_memory_s: float = 0.0  # from when on it may be read before that, if a process appears
    disk_bytes: int = 0
    cache_bytes: int = 0


class ProcessSampler:
    """Samples the processes of one trial from outside; all calls come from one thread.

    Attributes:
        unavailable: group -> reason for what this system does not tell.
    """

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._watched: dict[tuple[str, int], _Watched] = {}
        self._seen: set[tuple[str, int]] = set()  # those that are gone, too
        self._ended_reads: dict[str, tuple[int, int]] = {}  # a worker's earlier processes, by name
        self._baselines: dict[str, tuple[int, int]] = {}
        self.unavailable: dict[str, str] = {}

    def sample(self, processes: list[tuple[str, int]], memory_now: bool = False) -> list[Sample]:
        """Samples of the named processes that are alive; a dead one gives none.

        Args:
            processes: (name, pid) of the trial's processes so far.
            memory_now: read memory even if it was read a moment ago, unless a process is gone: what it shared would count twice.
        """
        samples: list[Sample] = []
        if not self._seen.issuperset(processes):
            self._seen.update(processes)
            for watched in self._watched.values():
                watched.next_memory_s = min(watched.next_memory_s, watched.soonest_memory_s)
        memory_now = memory_now and all(_is_alive(pid) for _, pid in processes)
        for key in [key for key in self._watched if key not in processes]:
            self._forget(key)
        for name, pid in processes:
            try:
                watched = self._watched.get((name, pid)) or self._begin(name, pid)
                with watched.process.oneshot():
                    self._sample_cpu(samples, name, watched)
                    self._sample_counts(samples, name, watched)
                    self._sample_reads(samples, name, watched)
                if memory_now or time.monotonic() >= watched.next_memory_s:
                    self._sample_memory(samples, name, watched)
            except (psutil.NoSuchProcess, ProcessLookupError):
                self._forget((name, pid))
            except (psutil.Error, OSError) as error:
                self.unavailable[f"processes/{name}"] = f"the system does not let us look at the process: {error}"
        return samples

    def _begin(self, name: str, pid: int) -> _Watched:
        process = psutil.Process(pid)
        times = process.cpu_times()
        watched = _Watched(process, times.user + times.system, time.perf_counter_ns())
        self._watched[name, pid] = watched
        if name == "main":  # it has read before the trial began, workers have not
            self._baselines.setdefault(name, _read_bytes(process) or (0, 0))
        return watched

    def _forget(self, key: tuple[str, int]) -> None:
        watched = self._watched.pop(key, None)
        if watched is not None:
            disk, cache = self._ended_reads.get(key[0], (0, 0))
            self._ended_reads[key[0]] = (disk + watched.disk_bytes, cache + watched.cache_bytes)

    def _sample_cpu(self, samples: list[Sample], name: str, watched: _Watched) -> None:
        now_ns = time.perf_counter_ns()
        times = watched.process.cpu_times()
        seconds = times.user + times.system
        window_ns = now_ns - watched.cpu_time_ns
        if window_ns < 20_000_000:  # two ticks of the system's CPU clock: a shorter window gives noise
            return
        share = (seconds - watched.cpu_seconds) / (window_ns / 1e9)
        watched.cpu_seconds, watched.cpu_time_ns = seconds, now_ns
        samples.append(Sample(SeriesInfo(f"cpu/{name}", "cpu", f"CPU of {name}", "%", name, CPU_WINDOW_NS), now_ns, 100 * share))

    def _sample_counts(self, samples: list[Sample], name: str, watched: _Watched) -> None:
        process = watched.process
        samples.append(_value("threads", name, process.num_threads()))
        switches = process.num_ctx_switches()
        samples.append(_value("ctx_voluntary", name, switches.voluntary))
        if sys.platform != "win32":  # Windows does not tell them apart: psutil gives the sum as voluntary
            samples.append(_value("ctx_involuntary", name, switches.involuntary))
        if hasattr(process, "cpu_affinity"):
            samples.append(_value("affinity", name, len(process.cpu_affinity())))

    def _sample_reads(self, samples: list[Sample], name: str, watched: _Watched) -> None:
        reads = _read_bytes(watched.process)
        if reads is None:
            self.unavailable["reads"] = "this system does not tell what a process reads from disk and from cache"
            return
        before, ended = self._baselines.get(name, (0, 0)), self._ended_reads.get(name, (0, 0))
        watched.disk_bytes = max(0, reads[0] - before[0])
        watched.cache_bytes = max(watched.cache_bytes, reads[1] - before[1])  # what the disk gives to mapped files is taken from it later
        samples.append(_value("read_disk", name, watched.disk_bytes + ended[0]))
        samples.append(_value("read_cache", name, watched.cache_bytes + ended[1]))

    def _sample_memory(self, samples: list[Sample], name: str, watched: _Watched) -> None:
        began = time.thread_time()
        values = process_memory(watched.process)
        cost_s = time.thread_time() - began
        now_s = time.monotonic()
        watched.next_memory_s = now_s + max(MEMORY_INTERVAL_S, MEMORY_COST_FACTOR * cost_s)
        watched.soonest_memory_s = now_s + MEMORY_COST_FACTOR_SOON * cost_s
        own = mapped_log_bytes(self._log_dir, watched.process.pid)
        for kind, size in values.items():
            samples.append(_value(kind, name, max(0, size - own) if kind in _WITH_OWN_LOG else size))


_QUANTITIES = {
    "threads": ("threads", "threads of {}", "threads"),
    "ctx_voluntary": ("context_switches", "voluntary switches of {}", "switches"),
    "ctx_involuntary": ("context_switches", "involuntary switches of {}", "switches"),
    "affinity": ("affinity", "cores that {} may use", "cores"),
    "read_disk": ("read_disk", "read from disk by {}", "bytes"),
    "read_cache": ("read_cache", "read from cache by {}", "bytes"),
    "pss": ("memory", "PSS of {}", "bytes"),
    "uss": ("memory", "USS of {}", "bytes"),
    "rss": ("memory", "RSS of {}", "bytes"),
    "private": ("memory", "private bytes of {}", "bytes"),
    "commit": ("memory", "commit of {}", "bytes"),
    "shared_dirty": ("memory_shared", "shared dirty pages of {}", "bytes"),
}
"""Series by the first part of their key: group, label, unit."""


def _value(kind: str, process: str, value: float) -> Sample:
    group, label, unit = _QUANTITIES[kind]
    return Sample(SeriesInfo(f"{kind}/{process}", group, label.format(process), unit, process), time.perf_counter_ns(), float(value))


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False


def _read_bytes(process: psutil.Process) -> tuple[int, int] | None:
    """Bytes read from disk and from the page cache since the process began.

    On Linux `rchar` counts every read call, pipes included, and `read_bytes` what the disk had to give; a mapped file
    counts in the second only.
    """
    if not sys.platform.startswith("linux"):
        return None
    try:
        counters = process.io_counters()
    except (psutil.AccessDenied, AttributeError, NotImplementedError):
        return None
    return int(counters.read_bytes), max(0, int(counters.read_chars) - int(counters.read_bytes))


def process_memory(process: psutil.Process) -> dict[str, int]:
    """Bytes by kind: pss, uss, rss on Linux; uss, rss on macOS; uss, rss, private, commit on Windows."""
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
    """pss, uss, rss and shared_dirty in bytes; None where the kernel (before 4.14) has no rollup.

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
    """Bytes that the process holds for its own event log, by how far it has written."""
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
    """How many records of a segment are written, by bisection: written ones have a sequence word."""
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
