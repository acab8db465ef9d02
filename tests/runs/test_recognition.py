"""Whether pictures show the same identity, and whom, with embeddings that are known."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from cnn_jax.core.errors import UserError
from cnn_jax.runs import recognition
from cnn_jax.tasks.embedding import Embedding
from cnn_jax.training import checkpoint_notes

STEP = 3
# The vector that the network makes of a picture, by the picture's name.
VECTORS = {
    "probe": (3.0, 4.0),
    "anna0": (4.0, 3.0),  # a cosine of 24/25 to the probe
    "anna1": (-4.0, 3.0),  # 0
    "bert0": (1.0, 0.0),  # 3/5
    "carl": (0.0, -1.0),  # -4/5
}


def note(folder, step, scores):
    """Writes the scores of a step into its checkpoint."""
    path = folder / "checkpoints" / str(step) / checkpoint_notes.FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(checkpoint_notes.sealed({}, {}, scores)))


@pytest.fixture
def workdir(made, tmp_path, monkeypatch):
    """The folder of a run that measured thresholds at two steps."""
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(made.workdir / "config.json", folder)
    measured = {
        1: {"val/threshold": 0.1, "val/threshold_at_fpir_0.1": 0.2},
        STEP: {"val/threshold": 0.7, "val/threshold_at_fpir_0.1": 0.5},
    }
    for step, scores in measured.items():
        note(folder, step, scores)

    class Run:
        task, step = Embedding(("anna", "bert")), STEP

        def outputs(self, files):
            gray = np.zeros((8, 8, 1), np.uint8)
            for file in files:
                yield gray, {"embedding": np.array(VECTORS[file.stem])}

    def load(_, checkpoint):
        assert checkpoint is None
        return Run()

    monkeypatch.setattr(recognition.loaded, "load", load)
    return folder


@pytest.fixture
def files(tmp_path):
    """A gallery: two pictures of Anna and one of Bert in folders, and one of Carl."""
    found = {}
    for name in VECTORS:
        person = name.rstrip("01")
        place = {"probe": "", "carl": "gallery"}.get(name, f"gallery/{person}")
        found[name] = tmp_path / place / f"{name}.png"
        found[name].parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(found[name])
    return found


def answers(capsys):
    (row,) = json.loads(capsys.readouterr().out)
    return row["predictions"]


@pytest.mark.parametrize(
    ("other", "cosine", "same"), [("anna0", 0.96, True), ("bert0", 0.6, False)]
)
def test_a_pair_is_compared_at_the_runs_threshold(
    other, cosine, same, workdir, files, capsys
):
    pair = files["probe"], files[other]
    recognition.verify(workdir, pair, output="json")
    (answer,) = answers(capsys)
    assert answer == {"same": same, "cosine": pytest.approx(cosine), "threshold": 0.7}


def test_a_pair_is_the_same_at_the_threshold_itself(workdir, files, capsys):
    pair = files["bert0"], files["bert0"]
    for threshold, same in ((1.0, True), (1.01, False)):
        recognition.verify(workdir, pair, output="json", threshold=threshold)
        assert answers(capsys)[0]["same"] is same


def test_the_two_of_a_pair_are_shown_side_by_side(workdir, files, tmp_path, capsys):
    pair = files["probe"], files["anna0"]
    recognition.verify(workdir, pair, drawings=tmp_path / "out")
    assert f"{pair[0]} and {pair[1]}" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["probe-anna0.png"]


def test_each_identity_counts_with_its_nearest_picture(workdir, files, capsys):
    gallery = files["carl"].parent
    recognition.identify(workdir, [files["probe"]], gallery, output="json")
    assert answers(capsys) == [  # those at the run's threshold, 0.5, or above it
        {"identity": "anna", "cosine": pytest.approx(0.96)},
        {"identity": "bert", "cosine": pytest.approx(0.6)},
    ]
    options = {"threshold": -1.0, "output": "json"}
    recognition.identify(workdir, [files["probe"]], gallery, **options)
    assert [row["identity"] for row in answers(capsys)] == ["anna", "bert", "carl"]
    recognition.identify(workdir, [files["probe"]], gallery, top_k=1, **options)
    assert [row["identity"] for row in answers(capsys)] == ["anna"]


def test_who_is_like_nobody(workdir, files, tmp_path, capsys):
    """Nobody, with the cosine of the nearest."""
    recognition.identify(
        workdir,
        [files["probe"]],
        files["carl"].parent,
        threshold=0.97,
        output="json",
        drawings=tmp_path / "out",
    )
    assert answers(capsys) == [{"identity": None, "cosine": pytest.approx(0.96)}]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["probe.png"]


def test_a_run_without_a_threshold(workdir, files):
    note(workdir, STEP, {})
    with pytest.raises(
        UserError, match=r"measured no threshold on .* at step 3: set --thr"
    ):
        recognition.verify(workdir, (files["probe"], files["anna0"]))


def test_a_run_without_embeddings(made, write_digits):
    pair, _ = write_digits(2)
    with pytest.raises(UserError, match="has no embeddings"):
        recognition.verify(made.workdir, tuple(pair))
