"""Pure functions over traces and results: throughput, waits, start-up, memory, recommendation and findings."""
