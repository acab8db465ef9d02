"""TensorBoard's runs of a sweep, read back as TensorBoard reads them."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps.reports import report, tensorboard
from cnn_jax.sweeps.results import Row

ACCURACIES = {"base": [0.5, 0.6, 0.9], "wider, by half": [0.8]}
PICTURE = np.arange(7 * 5 * 3, dtype=np.uint8).reshape(7, 5, 3)


@pytest.fixture
def shown(make, tmp_path):
    """`shown({arm: [a value per seed]})`: the folder of a sweep with a small report,
    after its runs of TensorBoard were written."""

    def show(accuracies, change=lambda experiment, rows: (experiment, rows)):
        experiment, rows = change(*make(accuracies))
        folder = tmp_path / "sweep"
        folder.mkdir(exist_ok=True)
        Image.fromarray(PICTURE).save(folder / "metric (1).png")
        (folder / report.FILE).write_text(
            "# rates\n\n| arm |\n|---|\n| base |\n\n![A plot](metric (1).png)\n\n"
            "![Another plot](is/missing.png)\n\n## Runs\n",
        )
        tensorboard.write(experiment, rows, folder)
        return folder

    return show


def events(folder):
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    return found


def scalars(found, name):
    return [(event.step, pytest.approx(event.value)) for event in found.Scalars(name)]


def hparams(found, kind):
    content = found.SummaryMetadata(f"_hparams_/{kind}").plugin_data.content
    return getattr(plugin_data_pb2.HParamsPluginData.FromString(content), kind)


def test_an_arm_has_its_mean_curve_with_bands(shown):
    folder = shown(ACCURACIES)
    base, one = events(folder / "base (mean)"), events(folder / "wider, by half (mean)")
    values = np.array(ACCURACIES["base"])
    # Each run's metric grows in two steps to its value.
    assert scalars(base, "test/accuracy") == [
        (5, values.mean() / 2),
        (10, values.mean()),
    ]
    tag = "with_band/rates/test/accuracy"
    for name, value in (("mean", values.mean()), ("lower", 0.5), ("upper", 0.9)):
        assert scalars(base, f"{tag}/range/{name}") == [(5, value / 2), (10, value)]
    _, (step, low) = scalars(base, f"{tag}/interval/lower")
    assert step == 10 and low == values.mean() - 4.302653 * values.std(ddof=1) / 3**0.5
    # The interval of one seed is unknown.
    assert scalars(one, f"{tag}/range/upper") == [(5, 0.4), (10, 0.8)]
    assert set(one.Tags()["scalars"]) == {
        "test/accuracy",
        *(f"{tag}/range/{name}" for name in ("mean", "lower", "upper")),
    }


def test_the_charts_name_scalars_that_are_there(shown):
    folder = shown({**ACCURACIES, "diverges": [0.1, 0.1]})
    (event,) = events(folder / "report").Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    # TensorBoard shows the charts of a category from last to first.
    assert {c.title: [chart.title for chart in c.chart] for c in layout.category} == {
        "rates: all arms": [
            "test/accuracy: mean and 95% interval",
            "test/accuracy: mean and range over the seeds",
        ],
        "rates: each arm and its base arm": [
            "diverges and base: test/accuracy",
            "wider, by half and base: test/accuracy",
        ],
    }
    tags = {path.name: events(path).Tags()["scalars"] for path in folder.glob("*mean)")}
    for category in layout.category:
        for chart in category.chart:
            (series,) = chart.margin.series
            runs = [
                name
                for name, known in tags.items()
                if {series.value, series.lower, series.upper} <= set(known)
            ]
            assert len(runs) == (3 if "range" in chart.title else 2)


def test_the_table_of_hparams_has_a_row_for_each_arm(shown):
    folder = shown(ACCURACIES)
    found = events(folder / "wider, by half (mean)")
    values = hparams(found, "session_start_info").hparams
    assert values["arm"].string_value == "wider, by half"
    assert values["model.hidden"].string_value == "[12]"
    assert values["optimizer.learning_rate"].number_value > 0
    assert "seed" not in values
    columns = hparams(events(folder / "report"), "experiment")
    assert [(info.name, info.type) for info in columns.hparam_infos] == [
        ("arm", 1),  # a text
        ("model.hidden", 1),
        ("optimizer.learning_rate", 3),  # a number
    ]
    names = [metric.name.tag for metric in columns.metric_infos]
    assert names == ["test/accuracy", "test/loss"]


def test_the_report_is_a_text_and_images(shown):
    folder = shown(ACCURACIES)
    found = events(folder / "report")
    (event,) = found.Tensors("ablation/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    assert text == "# rates\n\n| arm |\n|---|\n| base |\n\n## Runs\n"
    (event,) = found.Images("plots/metric__1_")
    stored = Image.open(io.BytesIO(event.encoded_image_string))
    np.testing.assert_array_equal(np.asarray(stored), PICTURE)


def test_a_later_report_replaces_what_the_sweep_wrote_and_no_other_file(shown):
    folder = shown({**ACCURACIES, "diverges": [0.1]})
    mine = folder / "wider, by half (mean)" / "events.out.tfevents.1.host"
    run = folder / "base" / "seed0" / "events.out.tfevents.1.host"
    for path in (mine, run):
        path.write_text("mine")
    shown({"base": [0.3]})
    assert scalars(events(folder / "base (mean)"), "test/accuracy")[-1] == (10, 0.3)
    left = sorted(path.relative_to(folder).parts[0] for path in folder.rglob("*.sweep"))
    assert left == ["base (mean)", "report"]
    assert mine.exists() and run.exists()
    assert not (folder / "diverges (mean)").exists()


def test_a_sweep_without_a_complete_run_has_its_report(shown):
    folder = shown({})
    found = events(folder / "report")
    assert [path.parent.name for path in folder.rglob("*.sweep")] == ["report"]
    assert hparams(found, "experiment").hparam_infos
    assert found.Tags()["tensors"] == ["ablation/text_summary"]


def test_damaged_metrics_leave_the_final_scores(shown):
    def damage(experiment, rows):
        for row in rows:
            if row.outcome.status == "done":
                (row.run.workdir / "metrics.jsonl").write_text("damage\n")
        return experiment, rows

    folder = shown(ACCURACIES, damage)
    found = events(folder / "base (mean)")
    assert found.Tags()["scalars"] == ["test/accuracy"]
    assert scalars(found, "test/accuracy") == [(10, np.mean(ACCURACIES["base"]))]
    assert "custom_scalars__config__" not in events(folder / "report").Tags()["tensors"]


def test_scores_on_test_are_means_of_the_results(shown):
    """Curves are of val; scores of the best checkpoint have no curve."""

    def with_scores(experiment, rows):
        scores = {"val/accuracy": 0.4, "best/test/accuracy": 0.9, "shifted/iou": 0.7}
        return experiment, [
            Row(row.run, row.outcome, {**row.results, **scores, "step": 10 + seed})
            if row.outcome.status == "done"
            else row
            for seed, row in enumerate(rows)
        ]

    folder = shown(ACCURACIES, with_scores)
    found = events(folder / "base (mean)")
    assert found.Tags()["scalars"] == ["test/accuracy", "shifted/iou"]
    assert scalars(found, "shifted/iou") == [(12, 0.7)]
    assert [step for step, _ in scalars(found, "test/accuracy")] == [5, 10, 12]


def test_an_arm_may_be_called_like_a_run_of_tensorboard(shown):
    names = {"base": "report", "wider, by half": "report (mean)"}

    def renamed(experiment, rows):
        arms = [
            replace(arm, name=names.get(arm.name, arm.name), against=None)
            for arm in experiment.arms
        ]
        runs = [
            replace(run, arm=names.get(run.arm, run.arm)) for run in experiment.runs
        ]
        rows = [replace(row, run=run) for row, run in zip(rows, runs, strict=True)]
        return replace(experiment, arms=tuple(arms), runs=tuple(runs)), rows

    folder = shown(ACCURACIES, renamed)
    for name, value in (("report (mean)", 2 / 3), ("report (mean) (mean)", 0.8)):
        (path,) = (folder / name).iterdir()
        assert scalars(events(path.parent), "test/accuracy")[-1] == (10, value)
    assert events(folder / "report").Tags()["images"]


def test_a_file_in_the_way_is_named(make, tmp_path):
    experiment, rows = make({})
    (tmp_path / "sweep").mkdir(exist_ok=True)
    (tmp_path / "sweep" / "report").write_text("mine")
    with pytest.raises(UserError, match=r"sweep/report is a file, .*: move the file"):
        tensorboard.write(experiment, rows, tmp_path / "sweep")
