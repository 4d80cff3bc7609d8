"""The session file, its exports and its summary."""
