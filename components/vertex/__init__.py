"""All that knows Google Cloud."""
