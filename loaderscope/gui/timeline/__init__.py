"""The timeline: its data, the painting of it, and the widget."""
