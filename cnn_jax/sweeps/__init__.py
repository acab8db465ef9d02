"""Sweeps: an experiment's arms, the runs of each with several seeds, and what came of
them.

`experiment` makes runs of an experiment's file, `local` and `on_ray` get them done,
`results` reads what they left, `statistics` compares it, `report` and `plots` show it.
"""
