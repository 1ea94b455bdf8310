"""Finished runs: what each one was, how they differ, what they have read, and what they take on disk."""
