"""The window: its commands, dialogs, set-up side, docks, and the shown run."""
