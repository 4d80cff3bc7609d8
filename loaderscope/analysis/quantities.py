"""How shares and sizes are written in every sentence, table and label."""

from __future__ import annotations


def share_text(share: float) -> str:
    """A share from 0 to 1 as per cent."""
    return f"{share * 100:.0f} %"


def bytes_text(count: float) -> str:
    """A size with decimal units, as system monitors print them: 588 kB, 1.6 MB, 412 MB, 3.2 GB."""
    size, unit = count, "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 999.5 or unit == "TB":
            break
        size /= 1000
    digits = 1 if unit in ("MB", "GB", "TB") and abs(size) < 99.95 else 0
    return f"{size:.{digits}f}".removesuffix(".0") + f" {unit}"
