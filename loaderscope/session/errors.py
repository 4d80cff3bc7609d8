"""What can be wrong with a session file."""


class SessionError(Exception):
    """A session file cannot be written, or is none that can be opened; the text is one sentence for the user."""
