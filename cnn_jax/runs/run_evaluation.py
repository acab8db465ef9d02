"""Evaluates a run's checkpoint on a split of its data."""

from pathlib import Path

from cnn_jax import tasks
from cnn_jax.core.errors import unknown
from cnn_jax.runs import config_json, console, run_folder, trained
from cnn_jax.training import loop, parallel, predictions, setup
from cnn_jax.training.config import Config
from cnn_jax.training.evaluation import evaluate as evaluate_split


def evaluate(
    workdir: Path,
    *,
    split: str = "test",
    checkpoint: str | None = None,
    output: str = "table",
    predicted: Path | None = None,
    expected: Config | None = None,
) -> None:
    """Prints the metrics of a run's checkpoint on a split of its data.

    Args:
      workdir: the run's folder.
      split: the name of the split.
      checkpoint: see `trained.chosen_step`.
      output: "table" or "json".
      predicted: a file to write, with the prediction on each example; None: no file.
      expected: a config. A run with another config is refused; None accepts any run.

    Raises:
      UserError: if the folder holds no run, or a run with another config than
        `expected`; if there is no such split or checkpoint; if the data has changed; or
        if the file must not be written, or the task has no predictions to write.
    """
    if predicted:
        predictions.check_file(predicted)
    run_folder.check_place(workdir)
    saved = config_json.read(workdir)
    config = saved.config
    if predicted and not tasks.find(config.task.name).kept:
        raise predictions.missing(config.task.name)
    if expected is not None:
        run_folder.check_config(saved, expected)
        config = expected  # the path of its data may have changed
    with trained.reader(saved) as checkpoints:
        step = trained.chosen_step(checkpoints, checkpoint)
        dataset = run_folder.as_known(saved, setup.dataset(config))
        if split not in dataset.splits:
            raise unknown("split", split, dataset.splits)
        run_folder.check_data(saved, dataset)
        network = setup.network(config, dataset)
        parallel.check_batch_sizes(config)
        variables = trained.restore(checkpoints, step, network)
    task = network.task
    found = evaluate_split(
        network.eval_step(),
        variables,
        loop.eval_batches(dataset.splits[split], config),
        (*task.collected, *(task.kept if predicted else ())),
    )
    if predicted and parallel.is_main_host():
        kept = predictions.columns(task, found.rows, dataset.identities(split))
        if not kept:
            raise predictions.missing(config.task.name)
        predictions.write_text(predicted, kept, task)
    scores = task.scores(found.totals, found.rows)
    scores = {f"{split}/{name}": value for name, value in scores.items()}
    tables = {f"{split}/{n}": rows for n, rows in task.tables(found.totals).items()}
    result = {"step": step, "examples": len(dataset.splits[split])} | scores
    console.show(result, output, tables)
