"""Evaluates a trained network on a split of its data, or probes its features.

    python -m cnn_jax.evaluate --workdir=runs/resnet
    python -m cnn_jax.evaluate --workdir=runs/resnet --split=train --checkpoint=last
    python -m cnn_jax.evaluate --workdir=runs/resnet --predictions=FILE.csv
    python -m cnn_jax.evaluate --workdir=runs/resnet --probe=knn
    python -m cnn_jax.evaluate --config=configs/transfer.py:folder \\
        --config.data.dir=DIR --config.model.init_from=WEIGHTS --probe=linear

The first three commands print the metrics of a run's checkpoint. --predictions also
writes a file, if the run is a classifier or a regression: one line for each example of
the split, with the example's identity, label, prediction and loss, and with the
probability of the predicted class.

--probe measures the features without the head: the last feature maps, averaged over
space. It fits a linear classifier (logistic regression) or a nearest-neighbor
classifier to the features of the training examples, and prints the classifier's
accuracy on the test examples. --probe works on a run's checkpoint (--workdir), and on
any weights and data (--config).
"""

from cnn_jax import command


def main() -> None:
    parser = command.Parser("evaluate", __doc__, overrides=True)
    parser.add_argument("--workdir", type=command.path, help="the run's folder")
    command.add_config(parser, required=False)
    parser.add_argument("--split", help="the split to evaluate (default: test)")
    parser.add_argument(
        "--checkpoint",
        metavar="best|last|STEP",
        help="the run's checkpoint (default: best if the run has a validation split, "
        "otherwise last)",
    )
    parser.add_argument(
        "--probe",
        choices=["linear", "knn"],
        help="measure the accuracy of this classifier on the network's features",
    )
    parser.add_argument(
        "--predictions",
        type=command.path,
        metavar="FILE",
        help="write the prediction on each example: JSON lines (.jsonl) or CSV (.csv)",
    )
    parser.add_argument(
        "--format",
        choices=["table", "json"],
        default="table",
        help="format of the output (default: table)",
    )
    flags = parser.parse()
    if bool(flags.workdir) == bool(flags.config):
        parser.error("give either --workdir=FOLDER, or --config=FILE.py and --probe")
    if flags.config and not flags.probe:
        parser.error(
            "--config needs --probe: add --probe, or evaluate a run with --workdir"
        )
    if flags.overrides and not flags.config:
        parser.error(
            "--workdir uses the config of the run: leave out --config.GROUP.KEY=VALUE"
        )
    if flags.config and flags.checkpoint:
        parser.error(
            "--checkpoint needs --workdir: leave out --checkpoint with --config"
        )
    if flags.probe and flags.split:
        parser.error("--probe always measures on the test split: leave out --split")

    if flags.predictions and (flags.probe or flags.config):
        parser.error(
            "--predictions does not work with --probe: leave out --predictions"
        )

    runs = command.runs()
    checkpoint = flags.checkpoint
    if flags.config:
        runs.probe_weights(
            command.load_config(flags), kind=flags.probe, output=flags.format
        )
    elif flags.probe:
        runs.probe_run(
            flags.workdir, kind=flags.probe, checkpoint=checkpoint, output=flags.format
        )
    else:
        runs.evaluate(
            flags.workdir,
            split=flags.split or "test",
            checkpoint=checkpoint,
            output=flags.format,
            predicted=flags.predictions,
        )


if __name__ == "__main__":
    command.run(main)
