"""What one step writes and another reads: a module for each folder or file."""
