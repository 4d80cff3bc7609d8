"""The commands, a module each: its name, its line in the help, its options and the function that runs it."""
