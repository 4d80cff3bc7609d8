"""Reads what a dataset holds, from outside: its attributes, those of its parts, and the states of its random generators.

It calls no code of the user's, draws no number and changes nothing. A walk visits a bounded number of objects.
"""

from __future__ import annotations

import dis
import hashlib
import random
import sys
from collections import deque
from typing import Any, Deque, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

MOST_OBJECTS = 200
"""So many objects are opened at most."""
MOST_ELEMENTS = 16
"""Longer lists, tuples and dicts are data and not parts of a dataset."""
DEEPEST = 5
"""Steps from the dataset to an object: dataset, transform, its list, an element of that, its generator."""
DIGEST_BYTES = 8
_WHOLE_BYTES = 1 << 20
"""Of larger memory only the head, the middle and the tail are read, so much in all."""
_CONTAINERS = (dict, list, set, deque)
_CLOSED_PACKAGES = frozenset(
    {"builtins", "numpy", "torch", "multiprocessing", "threading", "_thread", "_io", "logging", "sqlite3", "socket"}
)
"""Packages whose objects are no parts of a dataset: their attributes may be shared with other processes, or change with each call."""
_OPEN_MODULES = ("torch.utils.data", "torch.nn")
"""Modules of theirs with wrappers of datasets, and with what transforms are made of."""


class Attribute(NamedTuple):
    """An attribute found in a walk.

    Attributes:
        route: from the dataset: `transform.steps[2].rng`.
        owner: the object that holds it.
        name: in that object.
        value: what it is.
    """

    route: str
    owner: Any
    name: str
    value: Any


def attributes_of(root: Any) -> Iterator[Attribute]:
    """Yields the attributes of an object and of its parts, breadth first, each object once."""
    waiting: Deque[Tuple[str, Any, int]] = deque([("", root, 0)])
    seen: Set[int] = {id(root)}
    opened = 0
    while waiting and opened < MOST_OBJECTS:
        route, owner, depth = waiting.popleft()
        opened += 1
        for name, value in _parts_of(owner):
            own_route = route + name if name.startswith("[") else "%s.%s" % (route, name) if route else name
            yield Attribute(own_route, owner, name, value)
            if depth + 1 < DEEPEST and id(value) not in seen and _is_opened(value):
                seen.add(id(value))
                waiting.append((own_route, value, depth + 1))


def _parts_of(owner: Any) -> List[Tuple[str, Any]]:
    kind = type(owner)
    if kind in (list, tuple):
        return [("[%d]" % index, value) for index, value in enumerate(owner)]
    if kind is dict:
        return [("[%r]" % key, value) for key, value in list(owner.items())]
    try:
        attributes = object.__getattribute__(owner, "__dict__")
        return list(attributes.items()) if type(attributes) is dict else []
    except (AttributeError, RuntimeError):  # no attributes, or another thread adds one right now
        return []


def _is_opened(value: Any) -> bool:
    """Whether a value may be a part of a dataset that has parts of its own."""
    kind = type(value)
    if kind in (list, tuple):
        return 0 < len(value) <= MOST_ELEMENTS
    if kind is dict:
        return 0 < len(value) <= MOST_ELEMENTS and all(type(key) is str for key in value)
    if issubclass(kind, (type, random.Random)) or kind.__module__ in ("types", "functools"):
        return False
    module = str(kind.__module__)
    return module.partition(".")[0] not in _CLOSED_PACKAGES or module.startswith(_OPEN_MODULES)


def digest(*parts: bytes) -> str:
    """A short hash of bytes."""
    hashed = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        hashed.update(part)
    return hashed.hexdigest()


def generator_digest(value: Any) -> Optional[str]:
    """A hash of the state of a random generator; None for any other object."""
    kind = type(value)
    if issubclass(kind, random.Random):
        return digest(repr(random.Random.getstate(value)).encode()) if kind.getstate is random.Random.getstate else None
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None and kind is getattr(numpy_random, "Generator", None):
        return digest(*_bytes_in(value.bit_generator.state))
    if numpy_random is not None and kind is getattr(numpy_random, "RandomState", None):
        return digest(*_bytes_in(value.get_state(legacy=False)))
    torch = sys.modules.get("torch")
    if torch is not None and kind is torch.Generator and value.device.type == "cpu":
        return digest(bytes(value.get_state().tolist()))
    return None


def _bytes_in(state: Any) -> Iterator[bytes]:
    """The parts of a state of NumPy as bytes, those of nested dicts in their order."""
    if isinstance(state, dict):
        for key, value in state.items():
            yield str(key).encode()
            yield from _bytes_in(value)
    else:
        yield state.tobytes() if hasattr(state, "tobytes") else repr(state).encode()


def global_digests() -> Dict[str, str]:
    """Hashes of the states of the generators that a process has of its own."""
    digests = {"random": digest(repr(random.getstate()).encode())}
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        digests["numpy.random"] = digest(*_bytes_in(numpy_random.get_state(legacy=False)))
    torch = sys.modules.get("torch")
    if torch is not None:
        digests["torch"] = digest(bytes(torch.get_rng_state().tolist()))
    return digests


class Held(NamedTuple):
    """What an attribute holds, as far as it can be compared.

    Attributes:
        kind: its type.
        amount: the number itself, or the length of a container; None for arrays.
        digest: of the memory of an array; empty for others.
    """

    kind: str
    amount: Optional[float]
    digest: str = ""


def held_by(value: Any) -> Optional[Held]:
    """Returns what an attribute holds; None for what is not compared: text, other objects, and what processes share."""
    kind = type(value)
    if kind in (int, float):
        return Held(kind.__name__, float(value)) if abs(value) < 1e300 else None  # neither infinite nor undefined
    for base in _CONTAINERS:
        if issubclass(kind, base):
            return Held(kind.__name__, float(base.__len__(value)))
    memory = _memory_of(value)
    return None if memory is None or sum(map(len, memory)) > _WHOLE_BYTES // 16 else Held(kind.__name__, None, digest(*memory))


def sample_digest(sample: Any) -> Optional[str]:
    """A hash of all that a sample holds; None if a part of it cannot be read."""
    parts: List[bytes] = []
    return digest(*parts) if _add_parts(sample, parts, 0) else None


def _add_parts(part: Any, parts: List[bytes], depth: int) -> bool:
    kind = type(part)
    if part is None or kind in (bool, int, float, complex, str, bytes):
        parts.append(repr((kind.__name__, part)).encode("utf-8", "replace"))
        return True
    if kind in (list, tuple, dict) and depth < DEEPEST and len(part) <= 1000:
        parts.append(b"%d" % len(part))
        values = part if kind is not dict else [item for pair in part.items() for item in pair]
        return all(_add_parts(value, parts, depth + 1) for value in values)
    memory = _memory_of(part, even_shared=True)
    if memory is None:
        return False
    parts.append(repr((str(part.dtype), tuple(part.shape))).encode())
    parts += memory
    return True


def _memory_of(value: Any, even_shared: bool = False) -> Optional[List[bytes]]:
    """The memory of a tensor or a NumPy array, in parts; None for other objects, and where it cannot be read at little cost.

    A tensor in shared memory counts only with `even_shared`: what one process writes there, all others see.
    """
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if numpy is None:
        return None
    if torch is not None and type(value) is torch.Tensor:
        if value.device.type != "cpu" or value.layout is not torch.strided or (value.is_shared() and not even_shared):
            return None
        try:
            array = value.detach().numpy()
        except (RuntimeError, TypeError):  # a type that NumPy lacks
            return None
    elif type(value) is numpy.ndarray and not value.dtype.hasobject:
        array = value
    else:
        return None
    if array.nbytes > _WHOLE_BYTES:
        if not array.flags.c_contiguous:
            return None
        flat, part = array.reshape(-1), max(1, _WHOLE_BYTES // 3 // array.itemsize)
        middle = len(flat) // 2
        return [flat[:part].tobytes(), flat[middle : middle + part].tobytes(), flat[-part:].tobytes()]
    return [array.tobytes()]


def place_of_store(kind: type, name: str) -> Optional[str]:
    """Returns "file:line" where a method of a class sets an attribute: one that runs later before `__init__`."""
    stores = list(_uses(kind, name, "STORE_ATTR"))
    chosen = sorted(stores, key=lambda store: store[0] == "__init__")
    return "%s:%d" % (chosen[0][2], chosen[0][1]) if chosen else None


def methods_that_read(kind: type, name: str) -> Set[str]:
    """Returns the names of the methods of a class that read an attribute; what a subclass overrides does not count."""
    codes = {method: getattr(getattr(kind, method), "__code__", None) for cls in kind.__mro__ for method in vars(cls)}
    return {method for method, code in codes.items() if code is not None and any(_lines_with(code, name, "LOAD_ATTR"))}


def attributes_set_by(code: Any) -> List[str]:
    """Returns the attributes that a function sets, of whatever object."""
    return [str(instruction.argval) for instruction in dis.get_instructions(code) if instruction.opname == "STORE_ATTR"]


def _uses(kind: type, name: str, operation: str) -> Iterator[Tuple[str, int, str]]:
    """Yields method, line and file of each use of an attribute in the functions of a class and its bases."""
    for cls in kind.__mro__:
        for method, function in list(vars(cls).items()):
            code = getattr(getattr(function, "__func__", function), "__code__", None)
            if code is not None:
                for line in _lines_with(code, name, operation):
                    yield method, line, code.co_filename


def _lines_with(code: Any, name: str, operation: str) -> Iterator[int]:
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        started = getattr(instruction, "line_number", instruction.starts_line)  # `starts_line` is a bool from Python 3.13 on
        line = started if started is not None else line
        if instruction.opname == operation and instruction.argval == name:
            yield int(line)
    for constant in code.co_consts:  # functions within it: comprehensions, closures
        if hasattr(constant, "co_code"):
            yield from _lines_with(constant, name, operation)
