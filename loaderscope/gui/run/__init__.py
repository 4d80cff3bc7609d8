"""Running sweeps and opened sessions, with their traces, for the views."""
