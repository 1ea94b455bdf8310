"""A server on this machine that shows the runs in a browser."""
