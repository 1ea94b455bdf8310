"""Data as users have them, read an example at a time: what can't be read is said, and the rest goes on."""
