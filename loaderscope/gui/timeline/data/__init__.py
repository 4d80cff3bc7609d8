"""What a timeline shows, as data. No Qt."""
