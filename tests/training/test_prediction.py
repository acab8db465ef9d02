"""Which files are predicted, where their pictures go, and how answers are printed."""

import json
import os
from pathlib import Path

import pytest

from cnn_jax.errors import UserError
from cnn_jax.training import prediction

STRANGE = Path(os.fsdecode(b"caf\xe9\n.png"))


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


def test_a_pipe_is_refused_before_the_run_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for files, style in (([tmp_path / "pipe.png"], None), ([], tmp_path / "pipe.png")):
        with pytest.raises(UserError, match="is a pipe"):
            prediction.apply(tmp_path, files, "best", style)
