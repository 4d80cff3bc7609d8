"""The session file: writing, reading and checking it; its JSON document."""
