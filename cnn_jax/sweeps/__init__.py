"""Sweeps: train the arms of an experiment with several seeds, and compare the arms.

An arm is one setting of the config. The modules, in the order of a sweep:

* The runs: `experiment` makes the runs (`run`) of the arms that `arms`, `grid` or
  `comparison` return. `budgets` (with `scaling` and `step_times`) gives arms the same
  cost.
* The number of seeds: `protocol`, `protocol_file`, `pilot`; `prepare` loads an
  experiment with its protocol.
* Training: `runner` trains the runs by `local` (in processes of `worker`) or `on_ray`;
  `outcome`, `progress`.
* Results: `results` and `predictions` read the runs' files; `units` and `text_table`
  write values.

`searches/` tunes arms, `statistics/` compares numbers, and `reports/` writes the
report. `simulate` checks what the statistics promise.
"""
