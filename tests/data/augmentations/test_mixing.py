"""Mixtures of two images and their classes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from cnn_jax.core import fit
from cnn_jax.core.errors import UserError
from cnn_jax.core.fit import Part
from cnn_jax.data import augment
from cnn_jax.data.augmentations.mixing import Cutmix, Mixup, beta
from cnn_jax.data.labels import CLASS
from cnn_jax.tasks import Classification

COUNT, SIDE = 64, 16
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8)
LABELS = np.arange(COUNT, dtype=np.int32) % 5
OTHERS = LABELS.reshape(-1, 2)[:, ::-1].ravel()
NEIGHBORS = IMAGES.reshape(-1, 2, *IMAGES.shape[1:])[:, ::-1].reshape(IMAGES.shape)
KEY = jax.random.key(3)

applied = jax.jit(lambda augment, *given: augment(*given), static_argnums=0)


def mixed(*entries, images=IMAGES, epoch=0):
    numbers = np.arange(len(images), dtype=np.int32)
    batch = {"image": images, "label": LABELS, "index": numbers}
    batch["epoch"] = np.full_like(numbers, epoch)
    return jax.device_get(applied(augment.make(entries, "class"), KEY, batch))


@pytest.mark.parametrize("entry", ["mixup", "cutmix", "mixup_or_cutmix"])
def test_an_example_is_mixed_with_its_neighbor(entry):
    found = mixed(entry)
    np.testing.assert_array_equal(found["label"], LABELS)
    np.testing.assert_array_equal(found["other_label"], OTHERS)
    share = found["share"]
    np.testing.assert_array_equal(share[::2], share[1::2])
    assert share.min() >= 0 and share.max() <= 1 and len(np.unique(share)) > 16
    again, later = mixed(entry), mixed(entry, epoch=1)
    np.testing.assert_array_equal(again["image"], found["image"])
    assert (later["share"] != share).any()


def test_mixup_is_a_weighted_mean():
    found = mixed("mixup(alpha=1.0)")
    share = found["share"][:, None, None, None].astype(np.float64)
    expected = share * IMAGES + (1 - share) * NEIGHBORS
    assert np.abs(found["image"] - expected).max() <= 0.501


def test_cutmix_exchanges_a_box():
    found = mixed("cutmix")
    own = (found["image"] == IMAGES).all(-1)
    np.testing.assert_array_equal(own | (found["image"] == NEIGHBORS).all(-1), True)
    np.testing.assert_allclose(own.mean((1, 2)), found["share"], atol=0.01)
    for pixels in ~own:
        rows, columns = np.nonzero(pixels)
        if len(rows):
            height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
            assert pixels.sum() >= 0.95 * height * width  # equal pixels by chance


@pytest.mark.parametrize(
    ("step", "mean"),
    [
        (Mixup(alpha=0.2), 0.5),
        # A side s = sqrt(u), cut off at the edges, is s - s^2 / 4 long on average. The
        # integral of its square over u is 0.321.
        (Cutmix(), 0.679),
    ],
)
def test_shares_of_many_pairs(step, mean):
    keys = jax.random.split(KEY, 2000)
    image = jnp.zeros((64, 64, 1), jnp.uint8)
    _, _, shares = jax.vmap(step.pair, (0, None, None))(keys, image, image)
    assert float(shares.mean()) == pytest.approx(mean, abs=0.03)
    if isinstance(step, Mixup):  # the variance of Beta(a, a) is 1 / (4 (2 a + 1))
        assert float(shares.var()) == pytest.approx(1 / (4 * 1.4), rel=0.05)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_shares_have_the_beta_distribution(alpha):
    keys = jax.random.split(KEY, 4000)
    found = np.asarray(jax.vmap(lambda key: beta(key, alpha))(keys), np.float64)
    assert found.min() >= 0 and found.max() <= 1
    assert stats.kstest(found, stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_some_pairs_stay():
    found = mixed("mixup(probability=0.25)")
    stay = found["share"] == 1
    assert 0.5 < stay.mean() < 0.95
    np.testing.assert_array_equal(found["image"][stay], IMAGES[stay])


@pytest.mark.parametrize("entry", ["cutmix", "mixup_or_cutmix"])
def test_boxes_are_everywhere_if_some_pairs_stay(entry):
    """The choice of the pairs and the place of a box draw different numbers."""
    images = np.zeros((COUNT, 32, 32, 1), np.uint8)
    images[1::2] = 255
    rows = []
    for epoch in range(8):
        found = mixed(f"{entry}(probability=0.25)", images=images, epoch=epoch)
        rows += [np.nonzero(image == 255)[0].mean() for image in found["image"][::2]
                 if (image == 255).any()]  # fmt: skip
    assert np.mean(rows) == pytest.approx(15.5, abs=2.5)


def test_all_frames_of_a_clip_have_the_same_box():
    clips = np.repeat(IMAGES[:, None], 3, axis=1)
    found = mixed("cutmix", images=clips)["image"]
    np.testing.assert_array_equal(found[:, 0], found[:, 2])
    np.testing.assert_array_equal(found[:, 0], mixed("cutmix")["image"])


def test_the_loss_is_that_of_soft_labels():
    """The loss is `optax.softmax_cross_entropy` with mixed one-hot targets."""
    logits = jax.random.normal(KEY, (COUNT, 5))
    share = jax.random.uniform(KEY, (COUNT,))
    batch = {"label": jnp.asarray(LABELS), "other_label": jnp.asarray(OTHERS)}
    batch["share"] = share
    soft = share[:, None] * jax.nn.one_hot(LABELS, 5)
    soft += (1 - share)[:, None] * jax.nn.one_hot(OTHERS, 5)
    for smoothing in (0.0, 0.1):
        task = Classification(tuple("abcde"), label_smoothing=smoothing)
        targets = optax.smooth_labels(soft, smoothing)
        expected = optax.softmax_cross_entropy(logits, targets).mean()
        np.testing.assert_allclose(task.loss(logits, batch), expected, rtol=1e-5)
    pairs = task.metrics(logits, batch)
    total, count = pairs["accuracy"]
    expected = (soft * jax.nn.one_hot(logits.argmax(-1), 5)).sum()
    np.testing.assert_allclose([total, count], [expected, COUNT], rtol=1e-5)
    expected = optax.softmax_cross_entropy(logits, soft).sum()
    np.testing.assert_allclose(pairs["loss"][0], expected, rtol=1e-5)


def test_needs():
    def check(mixes=True, size=4):
        task = Part("the task", {"learns mixtures": mixes, "label kind": "class"})
        batch = Part("the batch size", {"examples per device": size})
        fit.check([task, batch, Mixup().part(CLASS)])

    check()
    with pytest.raises(UserError, match="'mixup' mixes the classes of two images"):
        check(mixes=False)
    with pytest.raises(UserError, match=r"set config\.data\.batch_size to an even"):
        check(size=3)
    with pytest.raises(
        UserError, match="mixup and cutmix, but an example can be mixed"
    ):
        augment.make(["mixup", "cutmix"], "class")
