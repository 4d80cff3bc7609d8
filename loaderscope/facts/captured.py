"""Says which loader was captured and why, in sentences and in the JSON document."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from loaderscope.agent.messages import CapturedLoader, MetLoader
from loaderscope.facts.text import count_text


def captured_document(captured: CapturedLoader | None) -> dict[str, Any] | None:
    """Returns the `captured` of a JSON document; None for a target that is no captured loader."""
    if captured is None or captured.chosen is None:
        return None
    return {**_document(captured.chosen), "why": captured.why, "met": met_document(captured)}


def met_document(captured: CapturedLoader) -> list[dict[str, Any]]:
    """Returns all loaders that the script iterated, as plain JSON values."""
    return [{**_document(loader), "evidence": loader.evidence, "chosen": loader.number == captured.number} for loader in captured.met]


def _document(loader: MetLoader) -> dict[str, Any]:
    values = dataclasses.asdict(loader)
    del values["current"], values["evidence"]
    return {"number": values.pop("number"), "class": values.pop("type_name"), **values}


def sentence_of_document(document: dict[str, Any]) -> str:
    """Returns `captured_sentence` of the `captured` of a JSON document."""
    values = {name: document[name] for name in (field.name for field in dataclasses.fields(MetLoader)) if name in document}
    loader = MetLoader(**values, type_name=document["class"], current=None, evidence=[])
    return captured_sentence(CapturedLoader(loader.number, document["why"], [loader]))


def captured_sentence(captured: CapturedLoader) -> str:
    """Returns what was captured, where, and why, in a sentence without its full stop."""
    loader = captured.chosen
    if loader is None:
        return ""
    return f"the {loader.type_name} {_places_text(loader)}: {_facts_text(loader)}" + (
        f"; chosen because {captured.why}" if captured.why else ""
    )


def others_sentences(captured: CapturedLoader) -> list[str]:
    """Returns a sentence for each other loader that the script iterated, with its name as a target."""
    return [
        f"captured:{loader.number}, {_places_text(loader)}: {met_text(loader)}"
        for loader in captured.met
        if loader.number != captured.number
    ]


def met_text(loader: MetLoader) -> str:
    """Returns the data and the evidence of a loader: TensorDataset, 500 samples, batch 10; it does not shuffle."""
    return "; ".join([_facts_text(loader), *loader.evidence])


def _facts_text(loader: MetLoader) -> str:
    parts = [loader.dataset]
    if loader.length is not None:
        parts.append(count_text(loader.length, "sample"))
    if loader.batch_size is not None:
        parts.append(f"batch {loader.batch_size}")
    return ", ".join(parts)


def _places_text(loader: MetLoader) -> str:
    parts = [] if loader.made is None else [f"made at {os.path.basename(loader.made)}"]
    if loader.iterated is not None:
        parts.append(f"iterated at {os.path.basename(loader.iterated)}" + (f" ({loader.function})" if loader.function else ""))
    return ", ".join(parts) or "of a library"
