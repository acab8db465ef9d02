"""Predictions of a run's network for the user's files."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from cnn_jax.core.errors import UserError
from cnn_jax.runs import prediction
from tests.made import logits_of

STRANGE = Path(os.fsdecode(b"caf\xe9\n.png"))


def test_answers_are_json_of_every_file(made, write_digits, capsys):
    files, pixels = write_digits(2)
    prediction.predict(made.workdir, [files[0].parent], top_k=3, output="json")
    found = json.loads(capsys.readouterr().out)
    assert [row["image"] for row in found] == [str(file) for file in files]
    chances = softmax(np.asarray(logits_of(made, 2, pixels), np.float64), axis=-1)
    for row, chance in zip(found, chances, strict=True):
        order = np.argsort(-chance)[:3]
        assert [int(answer["class"]) for answer in row["predictions"]] == list(order)
        np.testing.assert_allclose(
            [answer["probability"] for answer in row["predictions"]],
            chance[order],
            rtol=1e-4,
        )


def test_the_tasks_own_number_of_answers_and_its_pictures(
    made, write_digits, tmp_path, capsys
):
    files, _ = write_digits(1)
    drawings = tmp_path / "out"
    prediction.predict(made.workdir, files, drawings=drawings)
    assert len(capsys.readouterr().out.splitlines()) == 2 + made.network.task.answered
    assert [path.name for path in drawings.iterdir()] == ["00.png"]


# ------------------------------------------------------------------- what is said

ANSWERS = [
    [{"class": "cat", "probability": 0.975}, {"class": "dog", "probability": 0.025}],
    [],
    [{"same": True, "cosine": 0.5, "box": [1, 2], "identity": None}],
]


def test_a_table(capsys):
    prediction.show(["a.png", "b.png", "c.png"], ANSWERS, "table", ("probability",))
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == [
        *("image", "class", "probability", "same", "cosine", "box", "identity")
    ]
    assert rows[0].split()[:3] == ["a.png", "cat", "97.50%"]
    assert rows[1].split()[:2] == ["dog", "2.50%"]  # the name stands once
    assert rows[2].split()[0] == "b.png"  # a picture with nothing in it too
    assert rows[3].split() == ["c.png", "-", "-", "yes", "0.5000", "1,", "2", "-"]


def test_a_class_that_looks_like_a_number_stays_as_it_is(capsys):
    prediction.show(["1e5"], [[{"class": "007"}]], "table")
    assert capsys.readouterr().out.splitlines()[-1].split() == ["1e5", "007"]


def test_nothing_at_all_is_a_table_too(capsys):
    prediction.show(["a.png"], [[]], "table")
    assert capsys.readouterr().out.splitlines()[-1].split() == ["a.png"]


def test_json(capsys):
    prediction.show([Path("a.png")], ANSWERS[:1], "json")
    found = json.loads(capsys.readouterr().out)
    assert found == [{"image": "a.png", "predictions": ANSWERS[0]}]


# ----------------------------------------------------------------- files and targets


def test_files_in_folders_keep_their_place(made, tmp_path):
    pixel = Image.new("L", (1, 1))
    for name in ("one.png", "in/b.jpg", "in/deep/a.png", "in/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixel.save(path, "PNG")
    found = prediction.files_in(made.workdir, [tmp_path / "one.png", tmp_path / "in"])
    assert sorted(found) == sorted(
        (tmp_path / file, Path(place))
        for file, place in [
            ("one.png", "one.png"),
            ("in/b.jpg", "b.jpg"),
            ("in/deep/a.png", "deep/a.png"),
        ]
    )


def test_a_path_without_pictures(made, tmp_path):
    with pytest.raises(UserError, match=f"there are no pictures in {tmp_path}"):
        prediction.files_in(made.workdir, [tmp_path])


def test_each_file_has_a_target_of_its_own(tmp_path):
    out = tmp_path / "out"
    place = [(tmp_path / "a.jpg", Path("a.jpg")), (tmp_path / "b.gif", Path("x/b.gif"))]
    assert prediction.targets_of(place, out) == [out / "a.png", out / "x" / "b.png"]
    assert not out.exists()
    same = [(tmp_path / name, Path(name)) for name in ("a.jpg", "a.png")]
    with pytest.raises(UserError, match=r"a\.jpg and .*a\.png would both be written"):
        prediction.targets_of(same, out)


def test_a_target_is_never_the_picture_itself(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    for folder in (tmp_path, tmp_path / "link", tmp_path / "link" / ".." / tmp_path):
        with pytest.raises(UserError, match="holds the input pictures"):
            prediction.targets_of([(tmp_path / "a.jpg", Path("a.jpg"))], folder)


def test_a_file_is_no_folder_for_targets(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file: name a folder"):
        prediction.targets_of([], tmp_path / "file")


def test_answers_on_files_of_any_name_are_json(capsys):
    prediction.show([STRANGE], [[{"class": "\u732b", "probability": 0.5}]], "json")
    (found,) = json.loads(capsys.readouterr().out)
    assert found["image"] == "caf\\xe9\n.png"
    assert json.dumps(found, ensure_ascii=False).encode()


def test_answers_on_files_of_any_name_are_one_line_each(capsys):
    prediction.show([STRANGE], [[{"class": "a", "probability": 0.5}]], "table")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[-1].startswith(r"caf\xe9\n.png")


def test_a_picture_whose_name_would_be_too_long_is_refused(tmp_path):
    clip = tmp_path / ("x" * 252)
    with pytest.raises(UserError, match="too long"):
        prediction.targets_of([(clip, Path(clip.name))], tmp_path / "drawn")
