"""What the terminal shows: the tasks of a run, and tables."""
