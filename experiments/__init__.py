"""Ablations: each file is a config and the arms that change it."""
