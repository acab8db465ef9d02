"""The file that fixes a sweep's protocol."""

import json

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import protocol, protocol_file


@pytest.fixture
def sweep(fake):
    return fake(a=[0.8] * 12)


def fix(sweep, seeds, anew=False, **options):
    experiment = sweep.experiment(range(seeds))
    made = protocol.make(experiment, **options)
    return protocol_file.fix(made, experiment, sweep.workdir, anew)


def finish(sweep, seeds):
    for run in sweep.experiment(range(seeds)).runs:
        sweep.finish(run)


def test_a_protocol_is_saved(sweep):
    assert protocol_file.read(sweep.workdir) is None
    fixed = fix(sweep, 12, until=True, margin=1.0)
    assert protocol_file.read(sweep.workdir) == fixed
    assert fixed.seen == () and fixed.arms == ("base", "a")
    assert [p.name for p in sweep.workdir.iterdir()] == ["sweep.json"]


def test_a_protocol_may_change_before_the_first_result(sweep):
    fix(sweep, 12, until=True, margin=1.0)
    fixed = fix(sweep, 8, until=True)
    assert protocol_file.read(sweep.workdir) == fixed and len(fixed.seeds) == 8


@pytest.mark.parametrize(
    ("seeds", "options"),
    [
        (8, {"until": True, "margin": 1.0}),
        (12, {"until": True, "margin": 2.0}),
        (12, {"until": True}),
        (12, {"margin": 1.0}),
    ],
)
def test_looks_may_not_change_after_a_result(sweep, seeds, options):
    fixed = fix(sweep, 12, until=True, margin=1.0)
    finish(sweep, 1)
    assert fix(sweep, 12, until=True, margin=1.0) == fixed
    flags = r"--until=decided --max_seeds=12 --margin=1\)"
    with pytest.raises(UserError, match=rf"must not change.*exactly.*{flags}"):
        fix(sweep, seeds, **options)
    assert protocol_file.read(sweep.workdir) == fixed
    again = fix(sweep, seeds, anew=True, **options)
    assert protocol_file.read(sweep.workdir) == again


def test_arms_may_not_change_after_a_result(sweep):
    fix(sweep, 12, until=True)
    finish(sweep, 1)
    sweep.arms["b"] = "base", [0.9] * 12
    with pytest.raises(UserError, match=r"planned with the arms base, a, .* --arms"):
        fix(sweep, 12, until=True)


def test_results_that_were_seen_before(sweep):
    """Seeds that are added to known results, and looks that are planned after them."""
    assert fix(sweep, 3).seen == ()
    finish(sweep, 3)
    assert fix(sweep, 3, margin=1.0).seen == ()
    assert fix(sweep, 10).seen == (0, 1, 2)
    finish(sweep, 10)
    assert fix(sweep, 10).seen == (0, 1, 2)
    assert fix(sweep, 12, until=True).seen == tuple(range(10))
    assert protocol_file.read(sweep.workdir).seen == tuple(range(10))


def test_new_seeds_have_seen_nothing(sweep):
    fix(sweep, 3)
    finish(sweep, 3)
    experiment = sweep.experiment((5, 6, 7))
    made = protocol.make(experiment)
    assert protocol_file.fix(made, experiment, sweep.workdir).seen == ()


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"seeds": [0]}', '{"seeds": "a", "margin": null}']
)
def test_a_damaged_file(sweep, content):
    fix(sweep, 3)
    path = sweep.workdir / protocol_file.FILE
    path.write_text(content)
    with pytest.raises(UserError, match=r"sweep\.json is damaged: move the file away"):
        protocol_file.read(sweep.workdir)
    path.write_text(json.dumps({"seeds": [0], "margin": None, "looks": []}))
    with pytest.raises(UserError, match="is damaged"):
        protocol_file.read(sweep.workdir)
