"""The folders and files that one step writes and another reads. Each has a module, with its schema, load and save."""
