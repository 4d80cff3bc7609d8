"""What a dataset holds open before its workers start."""

import io
import pathlib
import socket
import sqlite3
import threading
import zipfile

import pytest

from loaderscope.agent import error_sentences
from loaderscope.agent.shared_handles import CONNECTION, FILE, LOCK, find

GLOBAL_FILE = None


@pytest.fixture(autouse=True)
def this_file_is_the_users(monkeypatch):
    monkeypatch.setattr(error_sentences, "_INSTALLED", error_sentences.re.compile("$^"))


class Holder:
    def __init__(self, value):
        self.value = None
        self.value = value


class User:
    def __getitem__(self, index):
        return GLOBAL_FILE.read(index)


class Trap:
    """No code of the user's may run."""

    def __getattr__(self, name):
        raise AssertionError(name)

    def __len__(self):
        raise AssertionError

    def __bool__(self):
        raise AssertionError


def test_an_open_file_is_found_below_wrappers_with_the_line_that_makes_it(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"1")
    with open(path, "rb") as file:
        (handle,) = find(Holder([Trap(), {"inner": Holder(file)}]))
    assert (handle.path, handle.kind, handle.type_name) == ('dataset.value[1]["inner"].value', FILE, "BufferedReader")
    assert (handle.name, handle.owner, handle.code) == ("value", "Holder", "self.value = value")
    assert pathlib.Path(handle.file) == pathlib.Path(__file__) and handle.line


def test_an_open_file_in_a_global_that_the_dataset_names_is_found(tmp_path, monkeypatch):
    path = tmp_path / "data"
    path.write_bytes(b"1")
    with open(path, "rb") as file:
        monkeypatch.setitem(globals(), "GLOBAL_FILE", file)
        (handle,) = find(User())
    assert (handle.path, handle.name, handle.owner) == ("GLOBAL_FILE", "GLOBAL_FILE", "")


def test_archives_sockets_connections_and_locks_are_told_apart(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, socket.socket() as one, sqlite3.connect(":memory:") as database:
        kinds = [find(Holder(value))[0].kind for value in (archive, one, database, threading.Lock())]
    assert kinds == [FILE, CONNECTION, CONNECTION, LOCK]


def test_closed_files_and_data_in_memory_are_no_handles(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"1")
    closed = open(path, "rb")  # noqa: SIM115
    closed.close()
    in_memory = zipfile.ZipFile(io.BytesIO(), "w")
    assert find(Holder([closed, io.BytesIO(b"1"), in_memory, list(range(1000)), "text"])) == []


def test_a_handle_behind_large_data_is_found(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"1")
    holder = Holder([str(number) for number in range(300_000)])
    with open(path, "rb") as file:
        holder.file = file
        assert [handle.path for handle in find(holder)] == ["dataset.file"]
