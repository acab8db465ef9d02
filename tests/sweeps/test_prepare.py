"""The experiment and the protocol of a sweep, new or as its folder has them."""

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import prepare, protocol, protocol_file


@pytest.fixture
def load(experiment_file, tmp_path):
    def prepared(**options):
        given = {"overrides": {}, "only": "wider"} | options
        return prepare.load(str(experiment_file), tmp_path / "sweep", **given)

    return prepared


@pytest.fixture
def fix(load, tmp_path):
    """`fix(**options)`: fixes a protocol in the sweep's folder, with a first result."""

    def fixed(**options):
        experiment, made = load(**options)
        folder = experiment.runs[0].workdir
        folder.mkdir(parents=True)
        protocol_file.fix(made, experiment, tmp_path / "sweep")
        (folder / "results.json").touch()
        return made

    return fixed


def test_a_new_sweep(load):
    _, made = load(seeds=(4, 5), margin=1.0)
    assert made == protocol.Protocol((4, 5), 1.0, (), ("base", "wider, by half"))
    experiment, made = load(max_seeds=4)
    assert made.looks == (3, 4) and made.seeds == (0, 1, 2, 3)
    assert [run.seed for run in experiment.runs] == [0, 1, 2, 3] * 2


def test_a_report_alone_has_the_protocol_of_the_folder(load, fix):
    made = fix(max_seeds=4, margin=2.0)
    assert load(train=False)[1] == made
    assert load(train=False, max_seeds=4, margin=2.0)[1] == made
    for options in ({"margin": 1.0}, {"seeds": (0, 1)}, {"max_seeds": 5}):
        with pytest.raises(UserError, match="--until=decided --max_seeds=4 --margin=2"):
            load(train=False, **options)
    # Training does not take the flags of the folder.
    with pytest.raises(UserError, match="--until=decided --max_seeds=4 --margin=2"):
        load()


def test_a_report_of_a_sweep_without_looks(load, fix):
    fix(seeds=(0, 1), margin=2.0)
    assert load(train=False)[1].flags() == ["--seeds=2", "--margin=2"]
    assert load(train=False, margin=1.0)[1].flags() == ["--seeds=2", "--margin=1"]
    assert load(train=False, seeds=(0,))[1].seeds == (0,)


def test_a_pilot(load, fix):
    made = load(detect=1.0)[1]
    assert made.seeds == (0, 1, 2) and made.detect == 1.0
    assert load(detect=1.0, seeds=(4, 5))[1].seeds == (4, 5)
    fix(seeds=(1, 7))
    assert load(detect=1.0)[1].seeds == (1, 7, 0)


def test_a_sweep_with_looks_needs_no_pilot(load, fix):
    fix(max_seeds=4)
    with pytest.raises(UserError, match="was planned with --until=decided"):
        load(detect=1.0)
