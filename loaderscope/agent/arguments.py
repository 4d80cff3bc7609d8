"""Calls a function with arguments that the user gave as text (`--arg NAME=VALUE`)."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any, Callable, Dict, List, Mapping, Tuple

from .error_sentences import UNSUPPORTED, AgentError

_TRUE, _FALSE, _NONE = ("true", "yes", "on", "1"), ("false", "no", "off", "0"), ("none", "null")
_KINDS: Tuple[Tuple[str, type], ...] = (("bool", bool), ("int", int), ("float", float), ("str", str), ("Path", str), ("PathLike", str))


def required_names(function: Callable[..., Any]) -> List[str]:
    """Names of the arguments that a call must give; empty where the signature is unknown."""
    return [
        parameter.name
        for parameter in _parameters(function).values()
        if parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


def call_with_texts(function: Callable[..., Any], arguments: Mapping[str, str], name: str) -> Any:
    """Calls a function or class with the user's arguments, converted by annotation, else by default value, else as literals.

    Raises:
        AgentError: an argument is unknown, missing, or its text does not fit. What the call raises is passed on.
    """
    parameters = _parameters(function)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    unknown = [name_given for name_given in arguments if name_given not in parameters and not takes_any]
    if unknown:
        takes = ", ".join(parameters) or "no arguments"
        raise AgentError(UNSUPPORTED, "%s has no argument %s; it takes %s" % (name, ", ".join(unknown), takes))
    missing = [needed for needed in required_names(function) if needed not in arguments]
    if missing:
        hints = " ".join("--arg %s=VALUE" % needed for needed in missing)
        raise AgentError(UNSUPPORTED, "%s needs %s: give %s" % (name, ", ".join(missing), hints))
    values: Dict[str, Any] = {}
    positional: List[Any] = []
    for name_given, text in arguments.items():
        parameter = parameters.get(name_given)
        values[name_given] = _parse_literal(text) if parameter is None else _convert(parameter, text, name)
    for parameter in parameters.values():
        if parameter.kind is parameter.POSITIONAL_ONLY and parameter.name in values:
            positional.append(values.pop(parameter.name))
    return function(*positional, **values)


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _convert(parameter: inspect.Parameter, text: str, name: str) -> Any:
    kinds, optional = _annotated_kinds(parameter.annotation)
    if not kinds and parameter.default is not parameter.empty and parameter.default is not None:
        kinds = [kind for _, kind in _KINDS if type(parameter.default) is kind]
    if not kinds:
        return _parse_literal(text)
    if optional and text.lower() in _NONE:
        return None
    for kind in kinds:
        try:
            return _as_kind(text, kind)
        except ValueError:
            continue
    kind_names = " or ".join(kind.__name__ for kind in kinds)
    raise AgentError(UNSUPPORTED, "%s wants %s as %s, not %r" % (name, parameter.name, kind_names, text))


def _annotated_kinds(annotation: Any) -> Tuple[List[type], bool]:
    """The plain types that an annotation (perhaps a text or a union) names, and whether it allows None."""
    if annotation is inspect.Parameter.empty:
        return [], False
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    words = set(re.findall(r"\w+", text))
    return [kind for word, kind in _KINDS if word in words], bool(words & {"Optional", "None", "NoneType"})


def _as_kind(text: str, kind: type) -> Any:
    if kind is bool:
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        raise ValueError(text)
    return kind(text)


def _parse_literal(text: str) -> Any:
    """The number, truth value or None that the text is a literal of, else the text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.lower() == "none":
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return value if isinstance(value, (int, float, str)) else text
