"""Run a compiled pipeline on this machine: kfp.local does the work, and this shows it to a person."""
