"""Panels around the timeline: target, sweep, results, findings, log."""
