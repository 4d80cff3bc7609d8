"""Theme, colours, texts and the frame of figures."""
