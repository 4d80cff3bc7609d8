"""One file a finding."""
