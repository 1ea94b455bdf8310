"""The experiment: one YAML file, read and checked."""
