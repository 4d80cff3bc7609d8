"""The window: its shell, commands, dialogs, and what is shown in it."""
