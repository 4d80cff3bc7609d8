"""Agents and all that they start: started, listened to, watched and ended."""
