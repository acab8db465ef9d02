"""The learned policies."""

import jax
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data.augmentations.auto_augment import POLICIES, AutoAugment
from cnn_jax.data.augmentations.operations import NUMBERS, OPERATIONS

SIZE = (331, 331)
KEYS = jax.random.split(jax.random.key(0), 20_000)


@pytest.mark.parametrize("policy", POLICIES)
def test_operations_are_drawn_with_their_probabilities(policy):
    step = AutoAugment(policy=policy)
    draw = jax.jit(jax.vmap(lambda key: step.changes(key, SIZE)))
    numbers, magnitudes = jax.device_get(draw(KEYS))
    pairs = POLICIES[policy]
    assert len(pairs) == 25
    for i in range(2):
        share = dict.fromkeys(OPERATIONS, 0.0)
        for pair in pairs:
            name, probability, _ = pair[i]
            share[name] += probability / 25
            share["identity"] += (1 - probability) / 25
        counts = np.bincount(numbers[:, i], minlength=len(OPERATIONS)) / len(KEYS)
        np.testing.assert_allclose(counts, list(share.values()), atol=0.015)
    rotations = np.abs(magnitudes[numbers == NUMBERS["rotate"]])
    levels = {level for pair in pairs for name, _, level in pair if name == "rotate"}
    np.testing.assert_allclose(
        np.unique(rotations.round(3)),
        sorted(30 * level / 9 for level in levels),
        atol=1e-3,
    )


def test_magnitudes_are_torchvisions():
    step = AutoAugment(policy="cifar10")
    draw = jax.jit(jax.vmap(lambda key: step.changes(key, SIZE)))
    numbers, magnitudes = jax.device_get(draw(KEYS))
    kept = magnitudes[numbers == NUMBERS["posterize"]]
    assert set(kept) == {8 - round(7 / (9 / 4))}
    down = magnitudes[numbers == NUMBERS["translate_y"]]
    assert set(np.abs(down).round()) == {50, 150} and 0.4 < (down < 0).mean() < 0.6
    thresholds = magnitudes[numbers == NUMBERS["solarize"]]
    expected = [255 * (1 - level / 9) for level in (8, 5, 3, 2)]
    np.testing.assert_allclose(np.unique(thresholds.round(2)), expected, atol=0.01)


def test_an_unknown_policy():
    with pytest.raises(UserError, match="unknown policy 'svhn'"):
        AutoAugment(policy="svhn")
