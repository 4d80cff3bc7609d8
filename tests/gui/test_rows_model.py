"""Tables of values that sort by themselves."""

import pytest
from PySide6.QtCore import QPersistentModelIndex, Qt

from loaderscope.gui.panels.rows_model import RowColumn, RowsModel


@pytest.fixture
def model(qapp):
    """Words with their lengths, of which one is not known."""
    columns = [
        RowColumn("word", "", lambda word: word, str, is_number=False),
        RowColumn("length", "", lambda word: len(word) or None, lambda word: f"{len(word)} letters", "letters"),
    ]
    model = RowsModel(columns, 1, lambda word: f"the word {word}")
    model.set_rows(["bb", "", "a", "ccc"])
    return model


def words(model):
    return [model.row(number) for number in range(model.rowCount())]


@pytest.mark.parametrize(("order", "expected"), [("Ascending", ["a", "bb", "ccc", ""]), ("Descending", ["ccc", "bb", "a", ""])])
def test_what_is_missing_stands_last_in_either_order(model, order, expected):
    model.sort(1, getattr(Qt.SortOrder, f"{order}Order"))
    assert words(model) == expected


def test_what_is_selected_stays_so_when_the_rows_are_sorted(model):
    kept = QPersistentModelIndex(model.index(words(model).index("bb"), 0))
    for order in (Qt.SortOrder.DescendingOrder, Qt.SortOrder.AscendingOrder):
        model.sort(0, order)
        assert model.row(kept.row()) == "bb"


def test_what_is_copied_are_values_with_their_units(model):
    assert model.titles == ["word", "length (letters)"]
    assert model.values(words(model).index("")) == ["", None]
