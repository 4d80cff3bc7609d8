"""Theme, colours, short texts, and figures with captions."""
