"""Code that runs in the user's interpreter: standard library and torch only, in Python 3.9 syntax.

Modules of this package import each other relatively, because inside the user's interpreter the package has another name
(see `start.py`).
"""
