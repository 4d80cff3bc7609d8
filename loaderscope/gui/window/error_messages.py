"""Sentences for the user about what went wrong, or was written."""

from __future__ import annotations

from collections.abc import Callable

from loaderscope.agent.messages import ErrorInfo
from loaderscope.gui.panels.target_panel import advice_for
from loaderscope.gui.window.setup import Setup
from loaderscope.gui.window.views import Views


class ErrorMessages:
    """Says it where the user looks."""

    def __init__(self, setup: Setup, views: Views, show_headline: Callable[[], object]) -> None:
        """`show_headline` puts back the sentence about what is shown."""
        self._setup, self._views, self._show_headline = setup, views, show_headline
        self._unwritten = ""

    def problem(self, sentence: str) -> None:
        """One sentence where the user looks."""
        self._setup.target_panel.show_problem(sentence)
        self._views.show_headline(sentence)

    def error(self, error: ErrorInfo) -> None:
        """Why a sweep could not run, and what to do about it."""
        self._setup.target_panel.show_problem(error.message, advice_for(error))
        self._views.show_headline(error.message)

    def unwritten(self, sentence: str) -> None:
        """Why a file could not be written, until one is."""
        self._unwritten = sentence
        self.problem(sentence)

    def written(self, sentence: str) -> None:
        """That a file was written."""
        if self._unwritten and self._setup.target_panel.problem.text() == self._unwritten:
            self._setup.target_panel.show_problem("")
            self._show_headline()
        self._unwritten = ""
        self._views.show_message(sentence)
