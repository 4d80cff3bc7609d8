"""The error of a session file."""


class SessionError(Exception):
    """A session file cannot be written or opened; the text is one sentence for the user."""
