"""The flags of `predict`, and what they ask for."""

from pathlib import Path

import pytest

from cnn_jax import command

COMMON = {"checkpoint": None, "output": "table", "drawings": None}
RUN = "--workdir=runs/x"
A, B = Path("a.png"), Path("b.png")


@pytest.mark.parametrize(
    ("flags", "what", "arguments", "options"),
    [
        ([A], "predict", ([A],), {"top_k": None, "style": None}),
        (
            [A, B, "--top_k=3", "--style=s.png", "--format=json", "--checkpoint=last"],
            "predict",
            ([A, B],),
            {"top_k": 3, "style": Path("s.png"), "output": "json"}
            | {"checkpoint": "last"},
        ),
        (
            ["--verify", A, B, "--output=out"],
            "verify",
            ((A, B),),
            {"threshold": None, "drawings": Path("out")},
        ),
        (
            ["--identify", A, "--gallery=known"],
            "identify",
            ([A], Path("known")),
            {"top_k": 5, "threshold": None},
        ),
        (
            ["--identify", A, B, "--gallery=known", "--top_k=1", "--threshold=0"],
            "identify",
            ([A, B], Path("known")),
            {"top_k": 1, "threshold": 0.0},
        ),
    ],
)
def test_what_is_asked_for(flags, what, arguments, options, asked):
    found = asked("predict", RUN, *flags)
    assert found == [(what, (Path("runs/x"), *arguments), COMMON | options)]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([A], "--workdir"),
        ([RUN], "IMAGE_OR_FOLDER"),
        ([RUN, A, "--top_k=0"], "--top_k=0 must be at least 1"),
        ([RUN, "--verify", A], "--verify compares two pictures"),
        ([RUN, "--verify", A, B, A], "--verify compares two pictures"),
        ([RUN, "--verify", "--identify", A, B, "--gallery=x"], "compares two pictures"),
        ([RUN, A, "--gallery=x"], "--identify and --gallery=FOLDER need each other"),
        ([RUN, "--identify", A], "--identify and --gallery=FOLDER need each other"),
        (
            [RUN, "--verify", A, B, "--style=s.png"],
            "--style does not work with --verify",
        ),
        ([RUN, A, "--threshold=0.5"], "--threshold needs --verify or --identify"),
    ],
)
def test_flags_that_cannot_be(flags, words, call, monkeypatch):
    monkeypatch.setattr(command, "runs", pytest.fail)
    code, out, err = call("predict", *flags)
    assert (code, out) == (2, "") and words in err and err.count("\n") == 1
