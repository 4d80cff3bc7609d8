"""The timeline: its painter, widget, minimap and interaction."""
