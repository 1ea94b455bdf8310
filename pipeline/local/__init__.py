"""Run a compiled pipeline on this machine, as Kubeflow's launcher does."""
