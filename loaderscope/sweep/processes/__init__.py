"""Starts agents, talks to them, watches them and all that they start, and ends them."""
