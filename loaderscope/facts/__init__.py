"""What everything else is made from, each fact in one place: tables and the one formatter. No Qt, no numpy, no torch."""
