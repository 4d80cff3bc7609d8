"""Text for a terminal: the progress of a sweep, tables and sentences."""
