"""Where a data set comes from: one file a source."""
