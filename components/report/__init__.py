"""The step report. It writes one self-contained page that shows a run."""
