"""A library that takes seconds to import, most of it in one module deep inside."""

from .models import TABLE

__all__ = ["TABLE"]
