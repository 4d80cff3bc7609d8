"""Pure functions over a trace: throughput, stalls, start-up, memory, recommendation and findings."""
