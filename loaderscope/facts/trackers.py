"""Trackers of experiments that a variable of the environment keeps from uploading, and how a script shows that it uses one."""

from __future__ import annotations

import ast
import dataclasses
import warnings
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Tracker:
    """A tracker.

    Attributes:
        title: as its makers call it.
        modules: top-level modules by whose import a script shows that it may use it.
        variable: of the environment.
        value: of that variable, which keeps the tracker from uploading.
        effect: what happens then.
        is_suggested: whether it costs a script nothing but uploads, so that it is suggested to every user.
    """

    title: str
    modules: tuple[str, ...]
    variable: str
    value: str
    effect: str
    is_suggested: bool = True


_LOCAL = "keeps its logs on this machine"

TRACKERS: tuple[Tracker, ...] = (
    Tracker("Weights & Biases", ("wandb",), "WANDB_MODE", "offline", _LOCAL),
    Tracker("MLflow", ("mlflow",), "MLFLOW_TRACKING_URI", "sqlite:///mlflow-trials.db", "writes into a local file"),
    Tracker("Comet", ("comet_ml",), "COMET_START_ONLINE", "false", f"{_LOCAL} if comet_ml.start() begins them"),
    Tracker("Neptune", ("neptune", "neptune_scale"), "NEPTUNE_MODE", "offline", _LOCAL),
    Tracker("ClearML", ("clearml",), "CLEARML_OFFLINE_MODE", "1", _LOCAL),
    Tracker("SwanLab", ("swanlab",), "SWANLAB_MODE", "offline", _LOCAL),
    Tracker(
        "Hugging Face Hub",
        ("huggingface_hub", "transformers", "datasets", "diffusers"),
        "HF_HUB_OFFLINE",
        "1",
        "uploads and downloads nothing: what the script loads must be here already",
        is_suggested=False,
    ),
)
"""Sources: docs.wandb.ai (Environment variables), mlflow.org (Backend Stores; mlflow 3.17 refuses file: in store/tracking/file_store.py),
comet_ml 3.58 (config_map.py; comet_start/init_parameters.py alone reads it), docs.neptune.ai (Connection modes), clearml 2.1
(backend_api/session/defs.py), docs.swanlab.cn (swanlab offline), huggingface.co (huggingface_hub, Environment variables). What the script
passes to the tracker itself goes before the variable. TensorBoard uploads nothing."""


def is_offline_switch(variable: str, value: str) -> bool:
    """Whether a variable with this value is one that keeps a tracker offline; such a value is no secret."""
    return any((tracker.variable, tracker.value) == (variable, value) for tracker in TRACKERS)


def trackers_of(modules: Iterable[str]) -> list[Tracker]:
    """Returns the trackers that a script may use which imports these top-level modules."""
    imported = set(modules)
    return [tracker for tracker in TRACKERS if imported.intersection(tracker.modules)]


def imported_modules(source: str) -> set[str]:
    """Returns the top-level modules that a source imports anywhere; none if it is no Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the user's own text
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
