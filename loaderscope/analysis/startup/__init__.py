"""The time before the first batch: its phases, their causes, and remedies."""
