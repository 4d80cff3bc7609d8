"""The interpreter that has the frameworks, and the environment in which their scripts run."""

from __future__ import annotations

import pathlib

PYTHON_VARIABLE = "LOADERSCOPE_FRAMEWORKS_PYTHON"


def offline_environment(folder: pathlib.Path) -> dict[str, str]:
    """Variables by which libraries keep their caches in a folder, and reach no network."""
    caches = folder / "caches"
    caches.mkdir(parents=True)
    return {"HF_HUB_OFFLINE": "1", "HF_HOME": str(caches), "YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": str(caches)}
