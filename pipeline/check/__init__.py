"""`python -m pipeline check`: a look at data before there is a config."""
