"""Reads event logs in the plainest way, independent of the product's reader."""

import glob
import json
import pathlib
from typing import NamedTuple

from loaderscope.agent import layout
from loaderscope.agent.layout import State


class Record(NamedTuple):
    time_ns: int
    state: State
    form: int
    a: int
    b: int
    thread: int
    sequence: int


class Log(NamedTuple):
    header: dict
    records: list


def read_logs(log_dir) -> "list[Log]":
    """All chains of a folder, each with the records of its segments in slot order, holes left out."""
    chains = {}
    for path in sorted(glob.glob(str(pathlib.Path(log_dir) / f"*{layout.SUFFIX}"))):
        data = pathlib.Path(path).read_bytes()
        header = json.loads(data[: layout.HEADER_BYTES].rstrip(b"\0"))
        records = []
        for fields in layout.RECORD.iter_unpack(data[layout.HEADER_BYTES :]):
            time_ns, a, b, kind, thread, sequence = fields
            if sequence:
                records.append(Record(time_ns, State(kind >> layout.FORM_BITS), kind & layout.FORM_MASK, a, b, thread, sequence))
        chains.setdefault((header["pid"], header["opened_ns"]), Log(header, [])).records.extend(records)
    return list(chains.values())


def spans(log, state) -> "list[tuple[Record, Record]]":
    """Begin and end records of a state, paired; a span that was never ended has None as its end.

    A COMPLETE record stands for both: as the begin it is itself (but for `a`, which is the batch alone), as the end it has the
    end's time, and its size in bytes in `b` where it tells one.
    """
    pairs, open_at = [], {}
    for record in log.records:
        if record.state != state:
            continue
        if record.form == layout.BEGIN:
            assert record.thread not in open_at, f"{state.name} nests in itself"
            open_at[record.thread] = len(pairs)
            pairs.append((record, None))
        elif record.form == layout.END:
            index = open_at.pop(record.thread)
            pairs[index] = (pairs[index][0], record)
        else:
            pairs.append(both_ends(record))
    return pairs


def both_ends(record) -> "tuple[Record, Record]":
    end_ns = record.time_ns + record.b
    if record.state not in layout.SIZED_STATES:
        return record, record._replace(time_ns=end_ns)
    batch = int.from_bytes((record.a & 0xFFFFFFFF).to_bytes(4, "little"), "little", signed=True)
    return record._replace(a=batch), record._replace(time_ns=end_ns, a=batch, b=record.a >> 32)


def assert_nested(log) -> "list[Record]":
    """Checks that spans of each thread nest strictly; returns the begins of those still open."""
    stacks = {}
    for record in log.records:
        stack = stacks.setdefault(record.thread, [])
        if record.form == layout.BEGIN:
            stack.append(record)
        elif record.form == layout.END:
            assert stack, f"{record} ends nothing"
            assert stack[-1].state == record.state, f"{record} ends {stack[-1]}"
            stack.pop()
    return [record for stack in stacks.values() for record in stack]
