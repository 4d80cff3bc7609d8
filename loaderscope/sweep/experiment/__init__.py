"""The start-up experiment: what it runs, and what it measures beside its trials."""
