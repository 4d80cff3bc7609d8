"""What Python's own modules are called, also where Python has no list of them."""

import sys

from loaderscope.agent.packages import standard_modules


def test_the_names_of_standard_modules_are_found_without_a_list_of_them(monkeypatch):
    listed = sys.stdlib_module_names
    standard_modules.cache_clear()
    monkeypatch.delattr(sys, "stdlib_module_names")
    try:
        found = standard_modules()
    finally:
        standard_modules.cache_clear()
    assert {"colorsys", "threading", "multiprocessing", "time"} <= found & listed
    assert not {"torch", "numpy", "site-packages"} & found
