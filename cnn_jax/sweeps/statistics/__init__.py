"""Statistics of arms that are paired by seed.

`paired` has Student's interval, `bootstrap` the interval over seeds and test examples.
`equivalence` says whether two arms are the same. `sequential` (with `boundaries` and
`t_levels`) looks at a sweep several times, `power` and `planning` find the number of
seeds, `pairing` says what pairing saves, and `rankings` compares orders of arms.
"""
