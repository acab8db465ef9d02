"""Trains the arms of an experiment with several seeds, and compares the arms.

    python -m cnn_jax.sweep --config=experiments/pooling.py
    python -m cnn_jax.sweep --config=experiments/pooling.py:cifar10 --seeds=0,1,2,3,4
    python -m cnn_jax.sweep --config=experiments/pooling.py --config.train.epochs=5
    python -m cnn_jax.sweep --config=experiments/pooling.py --report_only
    python -m cnn_jax.sweep --config=experiments/learning_rate.py --trials=30

An arm is one setting of the config. Every run is a run of `python -m cnn_jax.main` in
the folder WORKDIR/<arm>/seed<k>, with its output in log.txt. Running the same command
again trains only the missing runs, so seeds and arms can be added later. If the file
has search(trial), or arms with tune=..., a search comes first: it chooses config values
on the validation split, and only the runs of the arms read the test split. The sweep
writes report.md, results.csv and plots into WORKDIR; `tensorboard --logdir=WORKDIR`
compares the runs.

On this machine each GPU trains one run at a time. Without a GPU, each group of
--cores_per_run processors trains one run at a time. --launcher=ray sends the runs to a
Ray cluster whose machines share WORKDIR. If a machine dies, its run continues on
another machine from the last checkpoint. --dry_run prints one command per run, for
other schedulers; when these runs are complete, --report_only writes the report.
"""

import argparse
import functools
import math
from collections.abc import Sequence

from cnn_jax import command


def numbers(text: str) -> tuple[int, ...]:
    """Parses the text of --seeds: `0,1,2` becomes (0, 1, 2).

    Raises an error for a negative or a repeated number.
    """
    found = tuple(int(number) for number in text.split(","))
    if len(set(found)) < len(found) or min(found) < 0:
        raise argparse.ArgumentTypeError(
            f"'{text}' has a repeated or a negative seed: give each seed once, as in "
            "0,1,2"
        )
    return found


def margin(text: str) -> float:
    """Returns the value of --margin, a number above 0."""
    try:
        size = float(text)
    except ValueError:
        size = math.nan
    if not 0 < size < math.inf:
        raise argparse.ArgumentTypeError(
            f"the margin is '{text}', and must be a number above 0"
        )
    return size


def _parser() -> command.Parser:
    """Returns the parser of the command's flags."""
    parser = command.Parser("sweep", __doc__, overrides=True)
    command.add_config(parser)
    parser.add_argument(
        "--workdir",
        type=command.path,
        help="the sweep's folder (default: runs/<file>[-<arg>])",
    )
    parser.add_argument(
        "--arms",
        metavar="REGEX",
        help="train only the arms whose names match REGEX, and the arms that these "
        "arms are compared to",
    )
    parser.add_argument(
        "--seeds",
        type=numbers,
        default=(0, 1, 2),
        metavar="N[,N...]",
        help="the seeds of each arm (default: 0,1,2)",
    )
    parser.add_argument(
        "--trials",
        type=command.count,
        metavar="N",
        help="the number of trials of a search (default: 30), or of each arm with "
        "tune=... (default: 10)",
    )
    parser.add_argument(
        "--margin",
        type=margin,
        metavar="SIZE",
        help="also say whether each arm is better, worse, or the same within this "
        "margin: percentage points for an accuracy or an IoU (1.0), otherwise the unit "
        "of the metric",
    )
    parser.add_argument(
        "--launcher",
        choices=["local", "ray"],
        default="local",
        help="train on this machine, or on a Ray cluster (default: local)",
    )
    parser.add_argument(
        "--cores_per_run",
        type=command.count,
        help="CPU cores for each run (default: 1)",
    )
    parser.add_argument(
        "--ray_address",
        metavar="HOST:PORT",
        help="address of the Ray cluster (default: start a cluster on this machine)",
    )
    parser.add_argument(
        "--num_cpus",
        type=float,
        help="CPUs that each run requests from Ray (default: 1)",
    )
    parser.add_argument(
        "--num_gpus",
        type=float,
        help="GPUs that each run requests from Ray (default: 0)",
    )
    parser.add_argument(
        "--smoke", action="store_true", help="shrink every run to a few steps"
    )
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="print the command of each missing run, and train nothing",
    )
    parser.add_argument(
        "--report_only",
        action="store_true",
        help="write the report again, and train nothing",
    )
    parser.add_argument(
        "--publish",
        type=command.path,
        metavar="FILE.md",
        help="also write the report into FILE.md, between the two marker lines of this "
        "experiment",
    )
    return parser


def main() -> None:
    parser = _parser()
    flags = parser.parse()
    _check(parser, flags)
    workdir = flags.workdir or command.default_workdir(flags.config)
    anew = flags.smoke and not flags.workdir
    if anew:
        workdir = workdir.with_name(f"{workdir.name}-smoke")

    from cnn_jax.sweeps import experiment, runner, search, study

    load = functools.partial(
        experiment.load,
        flags.config,
        workdir,
        overrides=flags.overrides,
        seeds=flags.seeds,
        only=flags.arms,
        smoke=flags.smoke,
        overwrite=anew,
        trials=flags.trials,
    )
    if anew:
        study.remove(workdir)
    found = load()
    if flags.report_only or flags.dry_run:
        for each in found.searches:
            search.said(each)  # an error if it is not finished
    if flags.report_only:
        runner.report(found, workdir, flags.publish, flags.margin)
        return

    def missing() -> Sequence[experiment.Run]:
        return found.in_order if anew else experiment.incomplete(found.in_order)

    runs = [] if found.searching else missing()
    if flags.dry_run:
        for run in runs:
            print(experiment.shell_line(run.command))
        return
    launched = runner.launcher(
        flags.launcher,
        cores_per_run=flags.cores_per_run or 1,
        address=flags.ray_address,
        num_cpus=1.0 if flags.num_cpus is None else flags.num_cpus,
        num_gpus=flags.num_gpus or 0.0,
    )
    if found.searches:
        search.complete(found, launched, workdir)
        found = load()
        runs = missing()
    runner.complete(
        found,
        runs,
        launched,
        workdir=workdir,
        publish=flags.publish,
        margin=flags.margin,
    )


def _check(parser: command.Parser, flags: argparse.Namespace) -> None:
    """Ends the command with an error if flags contradict each other."""
    if flags.dry_run and (flags.report_only or flags.publish or flags.margin):
        parser.error(
            "--dry_run writes no report: leave out --dry_run, or leave out "
            "--report_only, --publish and --margin"
        )
    if flags.launcher == "ray" and flags.cores_per_run is not None:
        parser.error(
            "--cores_per_run needs --launcher=local: with --launcher=ray, set "
            "--num_cpus"
        )
    for name in ("ray_address", "num_cpus", "num_gpus"):
        if flags.launcher == "local" and getattr(flags, name) is not None:
            parser.error(
                f"--{name} needs --launcher=ray: add --launcher=ray, or leave out "
                f"--{name}"
            )
    if "seed" in flags.overrides:
        parser.error(
            "a sweep sets the seed of each run: use --seeds=0,1,2 instead of "
            "--config.seed"
        )


if __name__ == "__main__":
    command.run(main)
