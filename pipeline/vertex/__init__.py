"""Vertex AI: check, submit, follow, schedule, and what it costs."""
