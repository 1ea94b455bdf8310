"""The graph of tasks, and the file that it compiles into."""
