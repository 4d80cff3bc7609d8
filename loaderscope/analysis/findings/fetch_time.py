"""Finds what fetches spend their time on where they limit the loader: computing, the disk, or something that all workers share."""

from __future__ import annotations

from loaderscope.analysis.findings import thread_storm
from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.findings.fetch_limits import (
    BUSY_CORES,
    COMPUTING_SHARE,
    MIN_DISK_SHARE,
    MIN_FETCH_SHARE,
    MIN_WAIT_SHARE,
    Fetching,
    SharedLimit,
    fetching_of,
    shared_limit_of,
)
from loaderscope.analysis.findings.input_bound import INPUT_BOUND_FROM, stalled_share
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import SettingResult
from loaderscope.facts.text import cores_text, share_text
from loaderscope.facts.thread_waits import ThreadWait

_LOCAL_DATA = (
    "table = torch.stack(rows).share_memory_()  # in the dataset, in place of the process: workers read it without asking\n"
    "self.cache = {}  # or a cache of each worker's own, in place of Manager().dict()"
)


def find(context: Context) -> list[Finding]:
    """Returns a finding about what all workers share, if any setting waits for such; else one about the subject's fetches."""
    limits = [(setting, limit) for setting in context.settings if (limit := shared_limit_of(context, setting)) is not None]
    subject = context.subject
    if limits:
        setting, limit = max(limits, key=lambda pair: (pair[0] is subject, pair[0].config.num_workers))
        return [_about_shared(context, setting, limit)]
    fetching = fetching_of(context, subject) if subject is not None else None
    if subject is None or fetching is None or not fetching.is_limit or not _limits_training(context, subject):
        return []
    if (fetching.cpu_share or 0.0) >= COMPUTING_SHARE:
        return [] if thread_storm.is_storm(context, subject) else [_about_processor(context, subject, fetching)]
    if fetching.waits_for(ThreadWait.DISK) and (fetching.disk_share or 0.0) >= MIN_DISK_SHARE:
        return [_about_disk(context, subject, fetching)]
    return []


def _limits_training(context: Context, setting: SettingResult) -> bool:
    """Whether the training waits for the fetches; where nothing takes the batches, they limit the loader in any case."""
    return not context.has_consumer or (stalled_share(setting) or 0.0) >= INPUT_BOUND_FROM


def _evidence(fetching: Fetching) -> dict[str, object]:
    return {
        "fetch_cpu_share": fetching.cpu_share,
        "fetch_share": fetching.fetch_share,
        "min_fetch_share": MIN_FETCH_SHARE,
        "looks": fetching.looks,
        "waits": {key: round(share, 4) for key, share in fetching.waits.items()},
    }


def _about_shared(context: Context, setting: SettingResult, limit: SharedLimit) -> Finding:
    fetching, process = limit.fetching, limit.process
    share, bounds = fetching.wait(*limit.kinds), fetching.bounds(*limit.kinds)
    lost = stalled_share(setting) or 0.0
    gain = context.gain_of_share(setting, lost * share, lost * bounds[0], lost * bounds[1]) if process is not None else None
    evidence = {**_evidence(fetching), "wait_share": round(share, 4), "min_wait_share": MIN_WAIT_SHARE, "process": None}
    name = context.name_of(setting.config)
    if process is not None:
        cores = cores_text(process.busy_cores, context.usable_cpus or 1)
        what = f"another process: {process.name}, which the script started and which serves all of them, needs {cores}"
        advice = "Let workers read the data themselves: from the dataset's own arrays or tensors, a memory-mapped file, or their own cache."
        change = _LOCAL_DATA
        evidence |= {
            "process": process.name,
            "process_cores": round(process.cores, 4),
            "process_ready_cores": round(process.ready_cores, 4),
            "min_process_cores": BUSY_CORES,
        }
    elif ThreadWait.FILE_LOCK in limit.kinds:
        what = "a lock of a file, which only one process can hold"
        advice = "Hold the lock for a shorter time, or open a file in each worker that needs none: read-only, or a copy."
        change = ""
    else:
        what = "a lock that another worker holds"
        advice = "Hold the lock for a shorter time, or give each worker what the lock protects."
        change = ""
    message = f"With {name} fetches wait {share_text(share)} of their time for {what}."
    if limit.flat is not None:
        evidence |= {"compared_with": limit.flat.fewer.config.to_json(), "throughput_ratio": round(limit.flat.ratio, 4)}
        message += f" It gives {limit.flat.ratio:.2f} times the throughput of {context.name_of(limit.flat.fewer.config)}."
    if limit.is_saturated:
        advice += " More workers do not help."
    severity = context.severity_of_gain(setting, gain)
    return Finding("lock-bound", severity, setting.trials, message, evidence, advice, gain, fetching.longest, change)


def _about_processor(context: Context, setting: SettingResult, fetching: Fetching) -> Finding:
    cpus, workers = context.usable_cpus, setting.config.num_workers
    advice = "Make the transforms cheaper: decode less, resize beforehand, or cache what does not change."
    if cpus is not None and workers >= cpus:
        advice += f" Each of the {cpus} usable cores has a worker already."
    elif cpus is not None:
        advice += f" More workers can help up to the {cpus} usable cores."
    return Finding(
        code="cpu-bound",
        severity="info",
        trials=setting.trials,
        message=f"With {context.name_of(setting.config)} fetches compute {share_text(fetching.cpu_share)} of their time.",
        evidence={**_evidence(fetching), "min_cpu_share": COMPUTING_SHARE, "usable_cpus": cpus, "num_workers": workers},
        advice=advice,
        places=fetching.longest,
    )


def _about_disk(context: Context, setting: SettingResult, fetching: Fetching) -> Finding:
    share, bounds = fetching.wait(ThreadWait.DISK), fetching.bounds(ThreadWait.DISK)
    lost = stalled_share(setting) or 0.0
    gain: Estimate | None = context.gain_of_share(setting, lost * share, lost * bounds[0], lost * bounds[1])
    return Finding(
        code="io-bound",
        severity="info",
        trials=setting.trials,
        message=(
            f"With {context.name_of(setting.config)} fetches wait {share_text(share)} of their time for the disk; "
            f"{share_text(fetching.disk_share)} of the bytes read came from it, the others from the page cache."
        ),
        evidence={**_evidence(fetching), "min_wait_share": MIN_WAIT_SHARE, "disk_share": fetching.disk_share},
        advice="Use faster storage, read fewer and larger files, or try more workers than processors, as they wait.",
        gain_s=gain,
        places=fetching.longest,
    )
