"""The timeline on the screen: keys, mouse, marks, search and lanes."""
