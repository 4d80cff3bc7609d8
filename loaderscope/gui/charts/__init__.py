"""Throughput, start-up and memory charts."""
