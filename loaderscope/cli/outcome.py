"""How a command ends: with an exit status, or with an error about the request."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.messages import ErrorInfo

OK, SOME_FAILED, WRONG_REQUEST, INTERRUPTED = 0, 1, 2, 130


class UsageError(Exception):
    """The request or the script is wrong; the text is one sentence for the user.

    Attributes:
        info: the error for the JSON document, with the same sentence.
        output: what the script printed before it failed.
    """

    def __init__(self, sentence: str, output: str = "", info: ErrorInfo | None = None) -> None:
        """`info` describes the error further; its sentence is replaced."""
        super().__init__(sentence)
        self.info = ErrorInfo(type(self).__name__, sentence) if info is None else dataclasses.replace(info, message=sentence)
        self.output = output
