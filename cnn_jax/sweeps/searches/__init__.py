"""Searches of config values on the validation split.

`search` trains the trials, `spaces` says what a trial sets, and `study` keeps the
trials in a study of Optuna.
"""
