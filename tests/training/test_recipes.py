"""All recipes: their keys, and the values that their papers and names state."""

import inspect

import pytest
from ml_collections import ConfigDict

from cnn_jax import data, models, tasks
from cnn_jax.core.errors import UserError
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import recipes
from cnn_jax.training.config import steps_in

# Of those without a default, arguments.
ARGUMENTS = {
    "some_digits": ((0, 1),),
    "restoration": ("super_resolution",),
    "experiment": (None,),
}
RECIPES = {
    name: function
    for name, function in inspect.getmembers(recipes, inspect.isfunction)
    if function.__module__ == recipes.__name__
}


def made(name, *arguments):
    return RECIPES[name](*(arguments or ARGUMENTS.get(name, ())))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_lacks_nothing(name):
    """A recipe resolves: it lacks no key, and all of its keys are read."""
    config = resolve(made(name).to_dict())
    assert config.task.name in tasks.TASKS and models.parts(config.model.name)
    assert data.options(config.data.name)
    assert steps_in(config.train, "", batch_size=8, examples=1000) > 0


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_made_anew_each_time(name):
    first = made(name)
    first.data.batch_size = -5
    assert made(name).data.batch_size > 0
    assert isinstance(first, ConfigDict)


@pytest.mark.parametrize(
    "name", ["digits", "digit_scenes", "moving_digits", "mnist", "cifar10"]
)
def test_the_length_is_the_callers(name):
    assert made(name, 3).train.epochs == 3


def test_imagenets_rate_grows_with_the_batch():
    """Goyal et al. 2017, section 2.1: 0.1 for each 256 images; five epochs of
    warm-up."""
    rates = {
        size: recipes.imagenet(size).optimizer.learning_rate for size in (256, 8192)
    }
    assert rates == {256: 0.1, 8192: pytest.approx(3.2)}
    config = recipes.imagenet()
    assert config.schedule.warmup_epochs == 5 and config.train.epochs == 90
    assert (config.optimizer.weight_decay, config.optimizer.nesterov) == (1e-4, True)
    assert config.data.image_size == 224 and config.task.top_k == (5,)


def test_cifar_is_shifted_by_four_pixels_and_mirrored():
    """He et al. 2016, section 4.2."""
    config = recipes.cifar10()
    assert config.data.augmentations == ("crop(padding=4)", "flip")


@pytest.mark.parametrize("name", ["digits", "few_digits", "some_digits", "mnist"])
def test_digits_are_not_mirrored(name):
    texts = resolve(made(name).to_dict()).data.augmentations
    assert not any(text.startswith("flip") for text in texts)


def test_an_experiment_has_an_argument():
    assert recipes.experiment(None) == recipes.few_digits()
    assert recipes.experiment("cifar10") == recipes.short_cifar10()
    with pytest.raises(UserError, match=r"'cifar'.*'cifar10'"):
        recipes.experiment("cifar")


def test_few_digits_are_evaluated_eight_times():
    config = recipes.few_digits(steps=80)
    assert (config.train.steps, config.eval.every_steps) == (80, 10)


@pytest.mark.parametrize("name", RECIPES)
def test_embedded_data_needs_no_download(name):
    """Recipes have embedded data, unless their name ends with a stored data set."""
    embedded = bool(data.source(made(name).data.name)[0].embedded)
    stored = ("mnist", "cifar10", "imagenet", "photos", "camvid")
    assert embedded != name.endswith(stored)
