"""Sweeps: the runs of an experiment's arms with several seeds, and their comparison.

`experiment` reads an experiment's file and makes its runs, `local` and `on_ray` train
them, `results` reads their results, `statistics` compares them, `report` and `plots`
present them.
"""
