"""The self-test of `loaderscope doctor` as a page of text that a user can mail."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.text import Text

from loaderscope.cli.terminal.console import spaced, stacked, unwrapped
from loaderscope.cli.terminal.sentence import Sentence
from loaderscope.cli.terminal.startup_table import experiment_section
from loaderscope.cli.terminal.table import AlignedTable
from loaderscope.facts.measures import FIRST_BATCH
from loaderscope.facts.phases import phase_of
from loaderscope.facts.text import MISSING, bytes_text, duration_text, share_text

Row = dict[str, Any]


def selftest_page(selftest: Row, machine: Row) -> RenderableType:
    """Returns the page.

    Args:
        selftest: see `cli.commands.doctor_selftest.summarise_selftest`.
        machine: the `machine` of `sweep.doctor.examine`.
    """
    experiment = selftest["experiment"]
    unavailable = [Sentence(f"  {sentence}", indent=4) for sentence in selftest["unavailable"]]
    return spaced(
        [
            unwrapped(f"Self-test of start-up, {duration_text(selftest['seconds'])}", "heading"),
            _phases_section(selftest["starts"]),
            experiment_section(experiment) if experiment is not None else None,
            _limits(machine),
            stacked([unwrapped("Not available:", "heading"), *unavailable]) if unavailable else None,
        ]
    )


def _limits(machine: Row) -> Text:
    commit_bytes, open_files = machine["commit_limit_bytes"], machine["open_files_limit"]
    commit_text = (
        "only Windows limits it" if commit_bytes is None else f"{bytes_text(machine['commit_used_bytes'])} of {bytes_text(commit_bytes)}"
    )
    files_text = "no limit" if open_files is None else f"{open_files} a process"
    return unwrapped(f"Limits: commit: {commit_text}; open files: {files_text}")


def _phases_section(starts: list[Row]) -> RenderableType | None:
    """Returns a row for each phase, with columns for the fewest and the most workers of each start method."""
    shown = [start for start in starts if _has_fewest_or_most_workers(start, starts)]
    if not shown:
        return None
    table = AlignedTable()
    table.add_column("milliseconds", is_text=True)
    for start in shown:
        table.add_column(_method_title(start), is_text=False)
    table.add_row("  workers", *(str(start["num_workers"]) for start in shown))
    for key in shown[0]["phases"]:
        table.add_row(phase_of(key).title, *(_milliseconds(start["phases"][key]) for start in shown))
    table.add_row(FIRST_BATCH.title, *(_milliseconds(start["first_batch_s"]) for start in shown))
    table.add_row(phase_of("own").title, *(_milliseconds(start["own_s"]) for start in shown))
    table.add_row("explained", *(share_text(start["explained_share"]) for start in shown))
    note = "(medians over the epochs, of the first worker; fserver+: a fork server that has preloaded what is heavy)"
    return stacked([table, Sentence((note, "muted"))])


def _method_title(start: Row) -> str:
    """Returns the start method, short enough for the columns of a page; a plus marks preloading."""
    method: str = start["start_method"]
    return ("fserver" if method == "forkserver" else method) + ("+" if start["preload"] else "")


def _has_fewest_or_most_workers(start: Row, starts: list[Row]) -> bool:
    """Whether no other start of the same method has fewer workers, or none has more."""
    same = [row["num_workers"] for row in starts if (row["start_method"], row["preload"]) == (start["start_method"], start["preload"])]
    return start["num_workers"] in (min(same), max(same))


def _milliseconds(seconds: float | None) -> str:
    return MISSING if seconds is None else f"{seconds * 1e3:.0f}"
