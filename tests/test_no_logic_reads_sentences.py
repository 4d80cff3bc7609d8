"""Sentences are for people: what the program does next rests on fields (a kind, a cause, a route), never on words of a message."""

import ast
import pathlib

import pytest

import loaderscope

ROOT = pathlib.Path(loaderscope.__file__).parent
SENTENCES = {"message", "advice", "summary", "why", "note", "reason", "samples_per_second_reason", "energy_reason", "growth_reason"}
"""Attributes that hold a sentence."""
READING = {"startswith", "endswith", "partition", "rpartition", "find", "index", "split", "removeprefix", "removesuffix", "lower"}
SEARCHING = {"search", "match", "fullmatch", "findall", "finditer"}
ALLOWED = {"_NOT_FOUND.search(error.info.message)"}
"""Python's own words, which libraries pass on in exceptions of every class."""


def _reads_a_sentence(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        has_text = any(isinstance(side, ast.Constant) and isinstance(side.value, str) and side.value for side in sides)
        is_within = any(isinstance(operator, ast.In | ast.NotIn) for operator in node.ops)
        return (has_text or is_within) and any(_is_sentence(side) for side in sides)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if node.func.attr in READING:
        return _is_sentence(node.func.value)
    return node.func.attr in SEARCHING and any(_is_sentence(argument) for argument in node.args)


def _is_sentence(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "lower":
        return _is_sentence(node.func.value)
    return isinstance(node, ast.Attribute) and node.attr in SENTENCES


def readings_in(source: str) -> list[str]:
    return [ast.unparse(node) for node in ast.walk(ast.parse(source)) if _reads_a_sentence(node)]


def test_no_decision_rests_on_the_words_of_a_message() -> None:
    found = {
        (str(path.relative_to(ROOT)), text)
        for path in sorted(ROOT.rglob("*.py"))
        for text in readings_in(path.read_text("utf-8"))
        if text not in ALLOWED
    }
    assert not found


@pytest.mark.parametrize(
    "line",
    [
        "info.message.endswith(UNEXPECTED)",
        "'arguments' in error.info.message",
        "target.note.startswith('needs ')",
        "any(sign in error.message.lower() for sign in signs)",
        "PATTERN.search(finding.advice)",
        "note.reason == 'no device'",
    ],
)
def test_such_a_decision_is_seen(line: str) -> None:
    assert readings_in(line)
