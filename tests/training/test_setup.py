"""The parts of a run, made from a config."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn_jax import layers
from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.data.augment import Augment
from cnn_jax.data.augmentations.crop import Crop
from cnn_jax.data.augmentations.flip import Flip
from cnn_jax.data.dataset import Dataset
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import schedules, setup
from cnn_jax.training.config import default

GRAY = Dataset({}, tuple("ab"), (8, 8, 1), (0.25,), (0.5,))
COLOR = dataclasses.replace(GRAY, image_shape=(8, 8, 3), mean=(0.2,) * 3)
VOLTAGE = dataclasses.replace(GRAY, image_shape=(8, 8, 2), mean=(0.2,) * 2)


# ---------------------------------------------------------------------------- data


def test_the_data_of_a_config(values):
    found = setup.dataset(
        resolve(values(data={"image_size": 12, "normalization": "half"}))
    )
    assert found.image_shape == (12, 12, 1) and len(found.splits["train"]) == 24
    assert (found.mean, found.std) == ((0.5,), (0.5,))


@pytest.mark.parametrize(
    ("groups", "roles", "message"),
    [
        ({"train": {"steps": 4, "patience": 3}}, ["test"], "patience=3 needs a valid"),
        ({"eval": {"test": False}}, ["test"], "only a validation split to evaluate"),
        ({"eval": {"test": False, "test_curve": True}}, ["val"], "contradict each"),
        ({"eval": {"test": False}}, ["val", "test"], None),
    ],
)
def test_splits_that_a_config_needs(groups, roles, message, values, few_digits):
    splits = {role: few_digits.splits[role] for role in roles}
    dataset = dataclasses.replace(few_digits, splits=splits)
    config, schedule = resolve(values(**groups)), schedules.find("constant")(0.1, 8)
    if message is None:
        setup.check_roles(config, dataset, schedule)
        return
    with pytest.raises(UserError, match=message):
        setup.check_roles(config, dataset, schedule)


def test_options_of_the_data_are_its_sources_own(values):
    options = setup.data_options(resolve(values()))
    assert options["train_examples"] == 24 and options["keep_pixels"] == 1.0
    assert not {"name", "batch_size", "workers", "augmentations"} & options.keys()


@pytest.mark.parametrize("name", [None, "data"])
def test_images_are_normalized_by_their_own_statistics(name):
    assert setup.normalized(GRAY, normalization=name) is GRAY


@pytest.mark.parametrize(
    ("name", "data", "mean", "std"),
    [
        # As torchvision's documentation has them.
        ("imagenet", COLOR, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("imagenet", GRAY, (0.449,), (0.226,)),
        ("half", COLOR, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("half", GRAY, (0.5,), (0.5,)),
    ],
)
def test_other_normalizations(name, data, mean, std):
    found = setup.normalized(data, normalization=name)
    assert (found.mean, found.std) == (mean, std)
    assert found.image_shape == data.image_shape


def test_a_normalization_that_cannot_be():
    with pytest.raises(UserError, match=r"'imagnet'.*Did you mean 'imagenet'\?"):
        setup.normalized(GRAY, normalization="imagnet")
    for name in setup.NORMALIZATIONS:
        with pytest.raises(UserError, match="1 or 3 channels, and the images have 2"):
            setup.normalized(VOLTAGE, normalization=name)


# -------------------------------------------------------------------------- network


def test_a_network_is_told_of_its_data(values, few_digits):
    config = resolve(values(task={"label_smoothing": 0.1}, model={"widths": (3, 4)}))
    found = setup.network(config, few_digits)
    assert found.model.num_classes == 10 and found.model.widths == (3, 4)
    assert found.task.classes == few_digits.classes
    assert found.task.label_smoothing == 0.1
    assert (found.image_shape, found.label_shape) == ((8, 8, 1), ())
    image = np.full((1, 2, 2, 1), 51, np.uint8)
    expected = (51 / 255 - few_digits.mean[0]) / few_digits.std[0]
    np.testing.assert_allclose(
        found.normalize(jax.numpy.asarray(image)), np.full(image.shape, expected), 1e-5
    )


@pytest.mark.parametrize(("given", "outputs"), [(None, 10), (10, 10), (1000, 1000)])
def test_a_network_may_have_more_outputs_than_classes(given, outputs, values):
    config = resolve(values(model={"num_classes": given}))
    assert setup.model_of(config, 10).num_classes == outputs


def test_a_network_with_fewer_outputs_than_classes(values):
    config = resolve(values(model={"num_classes": 9}))
    with pytest.raises(UserError, match="num_classes=9 must be at least 10"):
        setup.model_of(config, 10)


def test_a_network_that_makes_images_has_no_classes(values):
    own = {"name": "srcnn", "init_from": "w.pth"}
    given = values()
    given["model"] = own
    model = setup.model_of(resolve(given), 10)
    assert not hasattr(model, "num_classes")
    given["model"] = own | {"num_classes": 3}
    with pytest.raises(UserError, match="srcnn has no classes"):
        setup.model_of(resolve(given), 10)


# ------------------------------------------------------------------------- training


@pytest.fixture
def training_of(values, few_digits):
    """`training_of(**groups)`: with 24 examples and a batch of 8."""

    def make(**groups):
        config = resolve(values(**groups))
        return setup.training(setup.network(config, few_digits), 24)

    return make


def test_lengths_are_in_steps(training_of):
    found = training_of(
        train={"steps": None, "epochs": 2.5, "log_every_examples": 16},
        eval={"every_steps": None, "every_epochs": 0.5},
        checkpoint={"every_steps": 3},
    )
    assert (found.steps, found.steps_per_epoch) == (8, 3.0)  # 7.5
    assert (found.log_every, found.eval_every, found.checkpoint_every) == (2, 2, 3)


def test_what_no_one_asked_for_is_done_at_the_end_or_never(training_of):
    found = training_of(
        train={"steps": 7, "log_every_steps": None}, eval={"every_steps": None}
    )
    assert found.log_every == 7
    assert found.checkpoint_every is None
    assert found.plan is None and found.initial is None


def test_the_schedule_spans_the_run(training_of):
    found = training_of(
        train={"steps": 20},
        schedule={"name": "cosine", "warmup_epochs": 1},
        optimizer={"learning_rate": 0.5},
    )
    rates = [float(found.schedule(step)) for step in range(20)]
    assert max(rates) == rates[2] == 0.5  # three steps of warm-up
    assert rates[0] < rates[1] < rates[2] and rates[19] < 0.01


def test_the_augmentation_is_that_of_the_labels(training_of):
    found = training_of(
        data={"augmentations": ("crop(padding=1)", "flip")}
    ).augmentation
    assert found == Augment("class", (Crop(padding=1), Flip()))


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"train": {"steps": 0}}, "step"),
        ({"data": {"batch_size": 0}}, r"data\.batch_size"),
        ({"eval": {"batch_size": -1}}, r"eval\.batch_size"),
        ({"optimizer": {"momentum": 1.5}}, r"optimizer\.momentum"),
        (
            {"optimizer": {"reinitialize": "head"}},
            r"reinitialize replaces parameters from config\.model\.init_from",
        ),
        ({"optimizer": {"freeze": ".*"}}, "leave no parameter to train"),
    ],
)
def test_what_cannot_be_trained(groups, words, training_of):
    with pytest.raises(UserError, match=words):
        training_of(**groups)


def updates(training, step=0):
    """Returns the optimizer's updates for gradients of one, at a step."""
    params = {
        "stage1_layer1": {"conv": {"kernel": np.ones(2, np.float32)}},
        "head": {"kernel": np.ones(3, np.float32)},
    }
    state = training.optimizer.init(params)
    for _ in range(step + 1):
        found, state = training.optimizer.update(params, state, params)
    return found["stage1_layer1"]["conv"]["kernel"][0], found["head"]["kernel"][0]


PLAIN = {"momentum": 0.0, "weight_decay": 0.0, "learning_rate": 0.5}


def test_one_group_moves_by_the_learning_rate(training_of):
    found = training_of(optimizer=PLAIN)
    assert updates(found) == (-0.5, -0.5)


def test_groups_have_rates_of_their_own(training_of):
    found = training_of(optimizer=PLAIN | {"layer_decay": 0.25})
    before, head = updates(found)
    assert (head, before) == (-0.5, -0.5 * 0.25**2)  # with a layer in between


def test_a_group_that_starts_later_has_the_rate_of_its_step(training_of):
    """The optimizer's memory of the group starts with the group."""
    found = training_of(
        optimizer=PLAIN
        | {"train_only": "head", "unfreeze": ("stage1.*",), "unfreeze_every_steps": 3},
        schedule={"name": "step", "boundaries": (0.5,), "factor": 0.1},
        train={"steps": 8},
    )
    assert found.plan.starts == (3,)
    before, head = updates(found)
    assert head == -0.5
    assert before == -0.5  # its step 0 is step 3 of the run: the rate still is whole
    before, head = updates(found, 1)
    assert (head, before) == (-0.5, pytest.approx(-0.05))


# ----------------------------------------------------------------- states and features


def test_a_fresh_state_without_an_optimizer(made):
    shapes = made.network.state_shapes
    assert shapes.opt_state == optax.EmptyState()
    assert shapes.ema is not None  # the config keeps averages


def test_initial_variables_are_those_of_the_training(made):
    initial = {"params": {"head": {"bias": np.ones(10, np.float32)}}}
    training = setup.training(made.network, 24)
    training = dataclasses.replace(training, initial=initial)
    for fresh in (training.fresh_state(), made.network.fresh_state(initial)):
        np.testing.assert_array_equal(fresh.params["head"]["bias"], np.ones(10))


def test_a_network_may_start_from_training_images(made):
    """The images are evenly spaced over the split, and give the first kernel."""
    values = default().to_dict()
    values["data"] |= {"image_size": 16, "train_examples": 30, "test_examples": 8}
    values["model"] |= {"name": "airbench94", "widths": (4, 4, 4)}
    config = resolve(values, {})
    dataset = setup.dataset(config)
    network = setup.network(config, dataset)
    assert setup.initial_images(made.network, dataset) is None
    images = setup.initial_images(network, dataset)
    np.testing.assert_array_equal(images, dataset.splits["train"].images)
    training = setup.training(network, 30)
    training = dataclasses.replace(training, images=images[::3])
    kernel = training.fresh_state().params["whiten"]["kernel"]
    normal = network.normalize(jnp.asarray(images[::3]))
    expected = layers.whitening_kernel(normal, (2, 2), 5e-4)
    np.testing.assert_allclose(kernel, expected, rtol=1e-3, atol=1e-4)


def test_initial_images_are_evenly_spaced(made, monkeypatch):
    config = made.network.config
    dataset = setup.dataset(config)
    network = made.network
    monkeypatch.setattr(type(network.model), "init_images", 4)
    images = setup.initial_images(network, dataset)
    split = dataset.splits["train"]
    rows = [len(split) * i // 4 for i in range(4)]
    np.testing.assert_array_equal(images, split.images[rows])


def made(**overrides):
    """The network and the training of a small network on a few digits."""
    values = default().to_dict()
    values["data"] |= {"train_examples": 16, "test_examples": 8}
    values["model"] |= {"stage_sizes": (1, 1), "width": 4, "stem": "small"}
    overrides = {key.replace("__", "."): text for key, text in overrides.items()}
    config = resolve(values, overrides)
    dataset = setup.dataset(config)
    network = setup.network(config, dataset)
    return setup.training(network, 16)


EMBEDDING = {"model__head": "embedding", "data__name": "identities"}
EMBEDDING |= {"task__name": "embedding", "data__image_size": "(8,)"}


@pytest.mark.parametrize("sync", ["true", "false"])
def test_batch_normalization_of_one_value_is_refused(sync, monkeypatch):
    """An embedding has no space: of one example a device there is one value."""
    options = EMBEDDING | {"model__sync_batch_norm": sync}
    setup.check_normalization(made(**options, data__batch_size="2"))
    with pytest.raises(UserError, match="embedding_norm: batch normalization"):
        setup.check_normalization(made(**options, data__batch_size="1"))
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    parts = made(**options, data__batch_size="2")
    if sync == "true":  # two devices have two values together
        setup.check_normalization(parts)
    else:
        with pytest.raises(UserError, match="embedding_norm"):
            setup.check_normalization(parts)


def test_batch_normalization_that_does_not_see_one_value_is_not_refused():
    setup.check_normalization(made(data__batch_size="1"))
    # A frozen layer normalizes by its running averages.
    frozen = {"optimizer__freeze": "embedding_norm", "data__batch_size": "1"}
    setup.check_normalization(made(**EMBEDDING, **frozen))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"data__augmentations": "crop(padding=8)"},
            "'crop' needs .* more than 8 pixels.* has images with 8",
        ),
        ({"task__top_k": "(2,11)"}, r"top_k=\(2, 11\), .* has 10 classes: set"),
        (
            {"schedule__warmup_steps": "99", "train__steps": "99"},
            "Set a shorter warm-up",
        ),
        ({"train__steps": "0"}, "a run of zero steps"),
        (
            {
                "optimizer__unfreeze": "('head',)",
                "optimizer__unfreeze_every_steps": "9",
                "train__steps": "9",
            },
            "trained from step 9, but the run has 9",
        ),
    ],
)
def test_numbers_that_do_not_fit_the_run(options, words):
    with pytest.raises(UserError, match=words):
        made(**options)


BLOCK = """
from functools import partial

import flax.linen as nn
from cnn_jax import layers


class Block(nn.Module):
    train: bool

    @nn.compact
    def __call__(self, x, _=None):
        x = layers.Conv(1, 3, name="conv")(x)
        return {norm}(name="norm")(x){end}


class Net(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, x, train):
        x = {block}(train, name="block")({given}){first}
        return layers.Dense(self.num_classes, name="head")(x.mean((1, 2)))
"""
DIRECT = {"block": "Block", "end": "", "given": "x", "first": ""}
REMAT = DIRECT | {"block": "nn.remat(Block)"}
SCAN = {"end": ", None", "given": "x, None", "first": "[0]"}
SCAN |= {"block": "nn.scan(Block, {'params': 0, 'batch_stats': 0}, length=2, "}
SCAN["block"] += "split_rngs={'params': True})"
OURS = {"norm": "layers.batch_norm(self.train)"}
LINENS = {"norm": "partial(nn.BatchNorm, not self.train)"}


@pytest.mark.parametrize(
    ("parts", "fits"),
    [
        (OURS | DIRECT, True),
        (OURS | REMAT, True),
        (OURS | SCAN, False),
        (LINENS | DIRECT, False),
    ],
)
def test_a_frozen_normalization_uses_no_batch(
    parts, fits, tmp_path, values, few_digits
):
    """A layer that cannot be told that it is frozen is refused before training."""
    (tmp_path / "frozen_nets.py").write_text(BLOCK.format(**parts))
    imports.add(tmp_path)
    given = values(optimizer={"train_only": "head"})
    given["model"] = {"name": "frozen_nets.Net"}
    training = setup.training(setup.network(resolve(given), few_digits), 24)
    if fits:
        setup.check_normalization(training)
        return
    with pytest.raises(UserError, match="block/norm is frozen, but would still"):
        setup.check_normalization(training)
