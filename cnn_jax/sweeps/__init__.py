"""Sweeps: train the arms of an experiment with several seeds, and compare the arms.

An arm is one setting of the config. The modules, in the order of a sweep:

* The runs: `experiment` makes the runs (`run`) of the arms that `arms`, `grid` or
  `comparison` return. `budgets` (with `scaling` and `step_times`) gives arms the same
  cost. `search` (with `spaces` and `study`) tunes arms.
* The number of seeds: `protocol`, `protocol_file`, `pilot`; `prepare` loads an
  experiment with its protocol.
* Training: `runner` trains the runs by `local` or `on_ray`; `outcome`, `progress`.
* Results: `results` and `predictions` read the runs' files; `summary`, `crossed`.
* Statistics of numbers: `statistics`, `bootstrap`, `pairing`, `equivalence`,
  `sequential` (with `boundaries` and `t_levels`), `power`, `planning`, `rankings`.
  `simulate` checks their promises.
* The report: `report` collects `tables`, `sentences`, `verdicts`, `factors`, `pareto`,
  `plots`, `disagreements` and `search_report`; `units` and `text_table` write values.
  `tensorboard` (with `bands`) shows the report.
"""
