"""The tables of a recorded training, and the page that `show` prints."""

import dataclasses

import pytest
from recorded_loaders import Loader, train_and_test, training
from terminal_text import plain_text

from loaderscope.agent.messages import Target
from loaderscope.analysis.training_tables import (
    LAST_EPOCHS,
    MOST_EPOCHS,
    MOST_GAPS,
    MOST_LOADERS,
    epochs_table,
    gaps_table,
    loaders_table,
    training_facts_text,
)
from loaderscope.cli.terminal.results_table import results_page
from loaderscope.facts.request import Request
from loaderscope.facts.run import Run
from loaderscope.session.document import build_document


def document_of(results):
    environment = {"python": "3.11.7", "usable_cpus": 2}
    run = Run(Request("a/train.py"), environment, Target("training", "captured", "DataLoader", "captured"), "a/train.py", None, [])
    return build_document(run, results)


def column(table, title):
    return [row[[one.title for one in table.columns].index(title)] for row in table.rows]


def titles(table):
    return [one.title for one in table.columns]


def test_a_loader_has_a_row_with_what_the_training_waited_for_it():
    table = loaders_table(document_of(training(*train_and_test()))["loaders"])
    assert column(table, "loader") == ["train.py:87", "train.py:90"]
    assert column(table, "waited") == ["7.00 s", "3.00 s"]
    assert column(table, "of the training") == ["7 %", "3 %"]
    assert {"main waited", "optimizer steps/s"}.isdisjoint(titles(table))


def test_a_device_and_an_optimizer_have_columns_where_there_are_any():
    train, test = train_and_test()
    train.device_step(8, 12)
    train.optimizer_steps(19)
    table = loaders_table(document_of(training(train, test))["loaders"])
    assert column(table, "main waited") == ["7.00 s", "3.00 s"]
    assert column(table, "waited") == ["5.00 s", "3.00 s"]
    assert column(table, "optimizer steps/s") == ["0.02", "–"]


def test_loaders_of_several_processes_say_which():
    table = loaders_table(document_of(training(Loader("a.py:1", 11), Loader("a.py:1", 12)))["loaders"])
    assert column(table, "loader") == ["a.py:1 in process 11", "a.py:1 in process 12"]


def test_many_epochs_share_a_row_with_their_mean():
    loader = Loader("a.py:1")
    for number in range(20):
        loader.epoch(number * 4, number * 4, (number * 4 + 0.05 * (number + 1), number * 4 + 2), end_s=number * 4 + 3)
    loaders = document_of(training(loader))["loaders"]
    table = epochs_table(loaders)
    assert column(table, "epoch") == ["0", "1", "2", "3", "4 to 16 (mean)", "17", "18", "19"]
    assert column(table, "first batch")[4] == "550 ms"
    assert column(table, "began")[4] == "–"
    short = epochs_table([loaders[0] | {"epochs": loaders[0]["epochs"][:MOST_EPOCHS]}])
    assert len(short.rows) == MOST_EPOCHS > LAST_EPOCHS


def test_of_many_loaders_the_epochs_of_those_that_cost_most_are_shown():
    loaders = [Loader(f"a.py:{line}").epoch(line, line, (line + line / 100, line + 0.5), end_s=line + 0.6) for line in range(1, 12)]
    table = epochs_table(document_of(training(*loaders))["loaders"])
    assert column(table, "loader") == [f"a.py:{line}" for line in range(12 - MOST_LOADERS, 12)]
    assert table.problems


def test_the_facts_of_the_training_name_first_batch_steps_and_end():
    train, test = train_and_test()
    train.optimizer_steps(19, 52)
    text = training_facts_text(document_of(training(train, test))["training"])
    assert all(fact in text for fact in ("13.0 s", "4 batches", "2 optimizer steps", "exit status 0"))
    assert "signal 9" in training_facts_text(document_of(training(train, test))["training"] | {"exit_status": -9})
    assert "went on" in training_facts_text(document_of(training(train, test))["training"] | {"exit_status": None})


def test_the_longest_gaps_come_first_with_place_and_line():
    train, test = train_and_test()
    train.seen_in("C:\\work\\train.py:60 in save", 42, 49)
    table = gaps_table(document_of(training(train, test))["gaps"])
    between = ("train.py:60 in save", "after train.py:87, before train.py:87", "9.00 s", "41.0 s")
    assert table.rows[0][1] == "end, after train.py:87"
    assert between in table.rows
    assert ("–", "start, before train.py:87", "10.0 s", "0 s") in table.rows
    many = gaps_table([dataclasses.asdict(gap) for gap in training(train, test)[0].loader.process.gaps] * MOST_GAPS)
    assert len(many.rows) == MOST_GAPS
    assert many.problems


def test_the_page_begins_with_the_sentence_and_shows_all_tables():
    document = document_of(training(*train_and_test()))
    lines = plain_text(results_page(document), 140).splitlines()
    assert lines[0] == document["summary"]
    assert document["training"]["exposed_s"] == pytest.approx(10)
    for table in (loaders_table(document["loaders"]), epochs_table(document["loaders"]), gaps_table(document["gaps"])):
        assert any(all(title in line for title in titles(table)) for line in lines)


def test_the_page_of_a_session_without_epochs_and_gaps_has_neither_table():
    results = training(*train_and_test())
    older = [dataclasses.replace(one, loader=dataclasses.replace(one.loader, epochs=[], process=None)) for one in results]
    text = plain_text(results_page(document_of(older)), 140)
    assert "train.py:87" in text
    assert "first batch" not in text
    assert "outside loaders" not in text
