"""Tables of values that sort by themselves."""

import pytest
from PySide6.QtCore import QPersistentModelIndex, Qt
from PySide6.QtGui import QColor

from loaderscope.gui.panels.table_model import TableModel, number_column, text_column

COLUMNS = (
    text_column("word", "Any word", str),
    number_column("length", "How long it is", lambda word: len(word) or None, lambda length: f"{length} letters", "letters"),
    text_column("given", "In the order of the rows", str, sorts_as_given=True),
)
DESCENDING = Qt.SortOrder.DescendingOrder


@pytest.fixture
def model(qapp):
    """Words with their lengths, of which one is not known."""
    model = TableModel(COLUMNS, sort_column=1, sort_order=DESCENDING, tip=lambda word: f"the word {word}")
    model.set_rows(["bb", "", "a", "ccc"])
    return model


@pytest.fixture
def keyed(qapp):
    """Words that are told apart by their first letter."""
    model = TableModel(COLUMNS, key=lambda word: word[:1])
    model.set_rows(["bb", "a"])
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
    assert model.titles == ["word", "length (letters)", "given"]
    assert model.values(words(model).index("")) == ["", None, ""]


def test_what_is_missing_is_shown_by_a_dash(model):
    assert [model.data(model.index(number, 1)) for number in range(4)] == ["3 letters", "2 letters", "1 letters", "–"]


def test_the_order_given_is_kept_or_reversed_where_a_column_says_so(model):
    model.sort(2)
    assert words(model) == ["bb", "", "a", "ccc"]
    model.sort(2, DESCENDING)
    assert words(model) == ["ccc", "a", "", "bb"]


def test_rows_of_equal_values_keep_the_order_given_whatever_was_sorted_by_before(model):
    model.set_rows(["dd", "bb", "cc"])
    model.sort(0)
    model.sort(1, DESCENDING)
    assert words(model) == ["dd", "bb", "cc"]


def test_a_sort_key_takes_the_place_of_the_value(qapp):
    model = TableModel((text_column("word", "", str, sort_key=len),))
    model.set_rows(["ccc", "b", "aa"])
    assert words(model) == ["b", "aa", "ccc"]


def test_what_is_selected_stays_so_while_the_keys_of_all_rows_stay_the_same(qtbot, keyed):
    kept = QPersistentModelIndex(keyed.index(1, 0))
    with qtbot.waitSignal(keyed.dataChanged), qtbot.assertNotEmitted(keyed.modelReset):
        keyed.set_rows(["apple", "banana"])
    assert keyed.row(kept.row()) == "banana"
    with qtbot.waitSignal(keyed.modelReset):
        keyed.set_rows(["apple", "cherry"])
    assert not kept.isValid()


def test_a_model_without_keys_takes_equal_rows_for_others(qtbot, model):
    with qtbot.waitSignal(model.modelReset):
        model.set_rows(["bb", "", "a", "ccc"])


def test_a_row_is_found_by_its_key(keyed, model):
    assert [keyed.find(key) for key in "abc"] == [0, 1, None]
    assert model.find("ccc") == 0


def test_a_cell_has_the_tip_of_its_row_or_else_of_its_column(model, keyed):
    tips = [table.data(table.index(0, 1), Qt.ItemDataRole.ToolTipRole) for table in (model, keyed)]
    assert tips == ["the word ccc", "How long it is"]


def test_titles_of_numbers_may_be_aligned_otherwise_than_the_numbers(qapp):
    role = Qt.ItemDataRole.TextAlignmentRole
    plain, centred = TableModel(COLUMNS), TableModel(COLUMNS, number_title_alignment=Qt.AlignmentFlag.AlignCenter)
    for column, alignment in ((0, Qt.AlignmentFlag.AlignLeft), (1, Qt.AlignmentFlag.AlignRight)):
        assert plain.headerData(column, Qt.Orientation.Horizontal, role) & alignment
    assert centred.headerData(1, Qt.Orientation.Horizontal, role) == Qt.AlignmentFlag.AlignCenter
    assert centred.headerData(0, Qt.Orientation.Horizontal, role) & Qt.AlignmentFlag.AlignLeft


def test_colours_are_those_of_the_hook(qapp):
    model = TableModel(COLUMNS, colour=lambda word, column: QColor("red") if word == "a" and column == 1 else None)
    model.set_rows(["a", "b"])
    coloured = [
        (row, column) for row in range(2) for column in range(3) if model.data(model.index(row, column), Qt.ItemDataRole.ForegroundRole)
    ]
    assert coloured == [(0, 1)]


def test_qt_finds_no_fault_in_the_model(model, keyed, qtmodeltester):
    qtmodeltester.check(model)
    qtmodeltester.check(keyed)
