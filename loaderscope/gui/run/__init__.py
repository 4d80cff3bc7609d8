"""Runs that go on and runs that were opened, with their traces, for whatever shows them."""
