"""How a command ends: with an exit status, or with an error about the request."""

from __future__ import annotations

OK, SOME_FAILED, WRONG_REQUEST, INTERRUPTED = 0, 1, 2, 130


class UsageError(Exception):
    """The request or the script is wrong; the text is one sentence for the user.

    Attributes:
        output: what the script printed before it failed.
    """

    def __init__(self, sentence: str, output: str = "") -> None:
        super().__init__(sentence)
        self.output = output
