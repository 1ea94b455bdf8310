"""Proofs: what a run leaves as evidence of a model in one file, and the audit of such a file on another machine."""
