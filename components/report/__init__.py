"""Report: one self-contained page that someone who wasn't there can judge a run by."""
