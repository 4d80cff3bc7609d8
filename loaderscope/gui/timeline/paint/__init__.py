"""Paints a timeline, for the screen, PNG, SVG and PDF alike."""
