"""Runs sweeps: the space of settings, limits, interpreters, agent processes, and the pool that runs the trials."""
