"""Trains the arms of an experiment with several seeds, and compares the arms.

    python -m cnn_jax.sweep --config=experiments/pooling.py
    python -m cnn_jax.sweep --config=experiments/pooling.py:cifar10 --seeds=5
    python -m cnn_jax.sweep --config=experiments/pooling.py --config.train.epochs=5
    python -m cnn_jax.sweep --config=experiments/pooling.py --detect=1.0
    python -m cnn_jax.sweep --config=experiments/pooling.py --until=decided --margin=1.0
    python -m cnn_jax.sweep --config=experiments/pooling.py --report_only
    python -m cnn_jax.sweep --config=experiments/learning_rate.py --trials=30
    python -m cnn_jax.sweep --config=configs/mlp.py --grid model.hidden="(64,),(128,)"
    python -m cnn_jax.sweep --compare runs/mlp runs/lenet runs/resnet

An arm is one setting of the config. The experiment's file yields the arms. For a config
file, --grid gives the arms. Every run is a run of `python -m cnn_jax.main` in the
folder WORKDIR/<arm>/seed<k>, with its output in log.txt. Successive runs of an arm
share a process, which compiles the network once. Running the same command again trains
only the missing runs, so seeds and arms can be added later. The sweep writes report.md,
results.csv and plots into WORKDIR; `tensorboard --logdir=WORKDIR` shows the report, the
mean curves of the arms with bands, and the runs. --compare writes the same files for
runs that no sweep trained.

If the file has search(trial), or arms with tune=..., a search comes first: it chooses
config values on the validation split, and only the runs of the arms read the test
split.

--until=decided adds seeds to each arm until its verdict is known: better or worse than
the arm it is compared to or, with --margin, the same. Arms are looked at five times at
most, and the tests are corrected for these looks. The maximum number of seeds, the
margin and the arms are fixed in WORKDIR/sweep.json before the first run.

On this machine each GPU trains --runs_per_device runs at a time. Without a GPU, each
group of --cores_per_run processors trains one run at a time. --launcher=ray sends the
runs to a Ray cluster whose machines share WORKDIR. If a machine dies, its run continues
on another machine from the last checkpoint. --dry_run prints one command per run, for
other schedulers; when these runs are complete, --report_only writes the report.
"""

import argparse
import functools
import math
import re
from pathlib import Path

from cnn_jax import command

COMPARISON = Path("runs/comparison")  # the folder of the report of --compare
COMPARED = ("compare", "workdir", "margin", "publish")  # the flags for --compare


def numbers(text: str) -> tuple[int, ...]:
    """Parses the text of --seeds.

    `20` is a number of seeds, and becomes (0, ..., 19). A text with a comma is a list
    of seeds: `5,6` becomes (5, 6), and `7,` becomes (7,).

    Raises an error for another text, and for a negative or a repeated seed.
    """
    try:
        found = tuple(int(seed) for seed in text.removesuffix(",").split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no number of seeds and no list of seeds: give a number, as "
            "in 10, or a list, as in 5,6,7"
        ) from None
    if "," not in text:
        if found[0] < 1:
            raise argparse.ArgumentTypeError(
                f"'{text}' is the number of seeds, and must be at least 1: for the "
                "single seed 0, give 1"
            )
        return tuple(range(found[0]))
    if len(set(found)) < len(found) or min(found) < 0:
        raise argparse.ArgumentTypeError(
            f"'{text}' has a repeated or a negative seed: give each seed once, as in "
            "0,1,2"
        )
    return found


def size(name: str, text: str) -> float:
    """Returns the value of a flag such as --margin, a number above 0.

    Args:
      name: the value's name in an error.
      text: the text of the flag.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(
            f"the {name} is '{text}', and must be a number above 0"
        )
    return number


def at_least_two(text: str) -> int:
    """Returns the value of --max_seeds, at least 2: one seed allows no test."""
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(
            f"the maximum is '{text}', and must be a number of at least 2 seeds"
        )
    return int(text)


def factor(text: str) -> tuple[str, tuple[str, ...]]:
    """Parses the text of --grid: `a.b=1,2` becomes ("a.b", ("1", "2")).

    Commas within brackets do not divide values.
    """
    key, found, values = text.partition("=")
    if not found or not re.fullmatch(r"[\w.]+", key):
        raise argparse.ArgumentTypeError(
            f"'{text}' is not a key with values: write GROUP.KEY=VALUE,VALUE, as in "
            "optimizer.learning_rate=0.01,0.1"
        )
    parts, depth = [""], 0
    for character in values:
        depth += (character in "([") - (character in ")]")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return key, tuple(part.strip() for part in parts)


def _parser() -> command.Parser:
    """Returns the parser of the command's flags."""
    parser = command.Parser("sweep", __doc__, overrides=True)
    command.add_config(parser, required=False)
    parser.add_argument(
        "--compare",
        nargs="+",
        type=command.path,
        metavar="RUN",
        help="report on these folders of runs, and train nothing. Runs whose configs "
        "differ only in the seed are an arm; the first arm is the base arm",
    )
    parser.add_argument(
        "--workdir",
        type=command.path,
        help="the sweep's folder (default: runs/<file>[-<arg>][-<keys of the grid>]; "
        f"with --compare: {COMPARISON})",
    )
    parser.add_argument(
        "--grid",
        type=factor,
        action="append",
        metavar="KEY=VALUE,VALUE[,...]",
        help="the arms are these values of a config key; with several --grid, all "
        "combinations. The first arm is the base arm",
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
        metavar="N|N,[N...]",
        help="the number of seeds of each arm (20), or a list of seeds (5,6,7; a "
        "single seed: 7,) (default: 10 seeds for embedded data, where a run takes "
        "seconds, otherwise 3; an experiment's file may set SEEDS)",
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
        type=functools.partial(size, "margin"),
        metavar="SIZE",
        help="also say whether each arm is better, worse, or the same within this "
        "margin: percentage points for an accuracy or an IoU (1.0), otherwise the unit "
        "of the metric",
    )
    parser.add_argument(
        "--detect",
        type=functools.partial(size, "difference to detect"),
        metavar="SIZE",
        help="train a pilot of 3 seeds, or use the seeds that exist, and say how many "
        "seeds detect a difference of this size (in the unit of --margin) with a "
        "probability of 80%%",
    )
    parser.add_argument(
        "--until",
        choices=["decided"],
        help="add seeds to each arm until its verdict is known, or until --max_seeds; "
        "without --margin, an arm that makes no difference has no verdict, and gets "
        "all seeds",
    )
    parser.add_argument(
        "--max_seeds",
        type=at_least_two,
        metavar="N",
        help="the largest number of seeds with --until=decided (default: 30)",
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
        "--runs_per_device",
        type=command.count,
        metavar="N",
        help="runs that share a GPU, with equal shares of its memory (default: 1)",
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
    if flags.compare:
        _compare(flags)
    else:
        _sweep(flags)


def _compare(flags: argparse.Namespace) -> None:
    """Reports on the runs of --compare."""
    from cnn_jax.sweeps import comparison, protocol, runner

    workdir = flags.workdir or COMPARISON
    found = comparison.of(flags.compare, workdir)
    _check_page(flags.publish, found.name)
    plan = protocol.make(found, margin=flags.margin)
    runner.report(found, workdir, flags.publish, plan)


def _sweep(flags: argparse.Namespace) -> None:
    """Trains the runs of an experiment, and reports on the runs."""
    from cnn_jax.sweeps import prepare, protocol_file, runner
    from cnn_jax.sweeps.run import shell_line
    from cnn_jax.sweeps.searches import search, study
    from cnn_jax.sweeps.step_times import Stopwatch

    anew = flags.smoke and not flags.workdir
    workdir = flags.workdir or _default_workdir(flags)
    load = functools.partial(
        prepare.load,
        flags.config,
        workdir,
        overrides=flags.overrides,
        grid=dict(flags.grid or ()),
        seeds=flags.seeds,
        only=flags.arms,
        smoke=flags.smoke,
        anew=anew,
        margin=flags.margin,
        max_seeds=(flags.max_seeds or prepare.MAXIMUM) if flags.until else None,
        detect=flags.detect,
        train=not flags.report_only,
        trials=flags.trials,
    )
    trains = not (flags.report_only or flags.dry_run)
    if anew:
        study.remove(workdir)
    with Stopwatch(flags.cores_per_run or 1) as stopwatch:
        found, plan = load(timer=stopwatch if trains else None)
    _check_page(flags.publish, found.name)
    if not trains:
        for each in found.searches:
            search.said(each)  # an error if it is not finished
    if flags.report_only:
        runner.report(found, workdir, flags.publish, plan)
        return
    if not found.searching:
        todo, _ = runner.missing(found, plan, anew=anew)
    if flags.dry_run:
        if plan.looks:
            protocol_file.fix(plan, found, workdir, anew)
        for run in todo:
            print(shell_line(run.command))
        return
    launched = runner.launcher(
        flags.launcher,
        cores_per_run=flags.cores_per_run or 1,
        runs_per_device=flags.runs_per_device,
        address=flags.ray_address,
        num_cpus=1.0 if flags.num_cpus is None else flags.num_cpus,
        num_gpus=flags.num_gpus or 0.0,
    )
    if found.searches:
        search.complete(found, launched, workdir)
        found, plan = load()
    runner.complete(
        found,
        plan,
        launched,
        workdir=workdir,
        publish=flags.publish,
        anew=anew,
    )


def _default_workdir(flags: argparse.Namespace) -> Path:
    """Returns the sweep's folder if --workdir is not given."""
    from cnn_jax.sweeps import grid

    folder = command.default_workdir(flags.config)
    keys = grid.labels(dict(flags.grid or ())).values()
    return folder.with_name("-".join([folder.name, *keys, *["smoke"] * flags.smoke]))


def _check_page(page: Path | None, name: str) -> None:
    """Raises `UserError` unless the page of --publish has a place for the report."""
    from cnn_jax.analysis import page_tables

    if page:
        page_tables.around(page, name)


def _check(parser: command.Parser, flags: argparse.Namespace) -> None:
    """Ends the command with an error if flags contradict each other."""
    if flags.compare:
        for name, value in vars(flags).items():
            if name not in COMPARED and value and value != parser.get_default(name):
                flag = f"config.{next(iter(value))}" if name == "overrides" else name
                parser.error(
                    f"--compare reports on runs that exist: leave out --{flag}, or "
                    "leave out --compare"
                )
        return
    if not flags.config:
        parser.error(
            "name an experiment with --config=FILE.py, or runs with --compare RUN RUN"
        )
    if flags.dry_run and (flags.report_only or flags.publish or flags.detect):
        parser.error(
            "--dry_run writes no report: leave out --dry_run, or leave out "
            "--report_only, --publish and --detect"
        )
    if flags.dry_run and flags.margin and not flags.until:
        parser.error(
            "--dry_run writes no report, so --margin has no effect: leave out "
            "--margin, or add --until=decided"
        )
    if flags.until and (flags.seeds or flags.detect):
        parser.error(
            "--until=decided adds the seeds itself: set their largest number with "
            "--max_seeds, and leave out --seeds and --detect"
        )
    if flags.max_seeds and not flags.until:
        parser.error(
            "--max_seeds needs --until=decided: add --until=decided, or set --seeds"
        )
    if flags.launcher == "ray" and flags.cores_per_run is not None:
        parser.error(
            "--cores_per_run needs --launcher=local: with --launcher=ray, set "
            "--num_cpus"
        )
    if flags.launcher == "ray" and flags.runs_per_device is not None:
        share = math.floor(1000 / flags.runs_per_device) / 1000
        parser.error(
            "--runs_per_device needs --launcher=local: with --launcher=ray, set "
            f"--num_gpus={share:g} (1/{flags.runs_per_device} of a GPU for each run)"
        )
    if flags.runs_per_device is not None and flags.cores_per_run is not None:
        parser.error(
            "--runs_per_device is for GPUs, and --cores_per_run for machines without "
            "one: leave out one of them"
        )
    for name in ("ray_address", "num_cpus", "num_gpus"):
        if flags.launcher == "local" and getattr(flags, name) is not None:
            parser.error(
                f"--{name} needs --launcher=ray: add --launcher=ray, or leave out "
                f"--{name}"
            )
    keys = [key for key, _ in flags.grid or ()]
    if len(set(keys)) < len(keys):
        parser.error("--grid gives a key twice: give all values of a key in one --grid")
    if "seed" in flags.overrides:
        parser.error(
            "a sweep sets the seed of each run: use --seeds=7, (with a comma) for the "
            "seed 7 instead of "
            "--config.seed"
        )


if __name__ == "__main__":
    command.run(main)
