"""The report of a sweep.

`report` writes the page from `tables`, `sentences`, `verdicts`, `factors`, `pareto`,
`plots`, `disagreements` and `search_report`. `summary` (with `crossed`) has the numbers
of each arm. `tensorboard` (with `bands`) shows the report in TensorBoard.
"""
