"""What runs in the user's interpreter: standard library and torch only, in Python 3.9 syntax.

The app imports `layout` and `messages` from here and nothing else. Modules of this package import each other relatively,
because inside the user's interpreter the package carries another name (see `start.py`).
"""
