"""Sweeps: train the arms of an experiment with several seeds, and compare the arms.

An arm is one setting of the config. The module `experiment` reads an experiment's file
and makes the runs. `local` and `on_ray` train the runs. `results` reads the results of
the runs, `statistics` compares the results, and `report` and `plots` present them.
"""
