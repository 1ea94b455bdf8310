"""Tune: train a model with other values of its keys, trial after trial, and keep the values of the best one."""
