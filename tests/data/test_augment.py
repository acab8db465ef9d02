"""Augmentation and normalization on the device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.core.errors import UserError
from cnn_jax.data import augment as augment_lib
from cnn_jax.data import augmentations, labels
from cnn_jax.data.augment import Augment, normalize
from cnn_jax.data.augmentations.augmentation import Augmentation
from cnn_jax.data.labels.pixels import IGNORED

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 6, 5, 3), np.uint8)
LABELS = np.arange(64, dtype=np.int32)
# One a pixel, told from the image.
MAPS = IMAGES[..., 0] // 2
KEY = jax.random.key(7)


def made(label_kind="class", *, padding=0, flip=False, light=0):
    """Augmentations of the config."""
    entries = [f"crop(padding={padding})"] * bool(padding)
    entries += ["flip"] * flip + [f"color_jitter(brightness={light}, hue=0.0)"] * bool(
        light
    )
    return augment_lib.make(entries, label_kind)


jitted = jax.jit(lambda augment, *given: augment(*given), static_argnums=0)


def augmented_batch(augment, rows, epoch=0, key=KEY, labels=LABELS):
    rows = np.asarray(rows, np.int32)
    batch = {
        "image": IMAGES[rows],
        "label": labels[rows],
        "index": rows,
        "epoch": np.full(len(rows), epoch, np.int32),
    }
    found = jax.device_get(jitted(augment, key, batch))
    assert found.keys() == batch.keys()
    for kept in ("index", "epoch"):
        np.testing.assert_array_equal(found[kept], batch[kept])
    return found


def augmented(augment, rows, epoch=0, key=KEY):
    found = augmented_batch(augment, rows, epoch, key)
    np.testing.assert_array_equal(found["label"], LABELS[np.asarray(rows)])
    return found["image"]


def candidates(image, padding, flip):
    """Every result that is allowed, made with NumPy."""
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    height, width, _ = image.shape
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            shifted = padded[top : top + height, left : left + width]
            yield (top, left, False), shifted
            if flip:
                yield (top, left, True), shifted[:, ::-1]


@pytest.mark.parametrize(
    ("padding", "flip"), [(0, False), (0, True), (2, False), (2, True)]
)
def test_every_example_is_a_shift_and_a_flip_of_itself(padding, flip):
    augment = made(padding=padding, flip=flip)
    result = augmented(augment, range(64))
    assert result.dtype == np.uint8
    drawn = []
    for before, after in zip(IMAGES, result, strict=True):
        found = [
            how
            for how, image in candidates(before, padding, flip)
            if np.array_equal(image, after)
        ]
        assert len(found) == 1
        drawn += found
    tops, lefts, flips = (set(values) for values in zip(*drawn, strict=True))
    assert tops == lefts == set(range(2 * padding + 1))
    assert flips == ({False, True} if flip else {False})


@pytest.mark.parametrize(
    ("padding", "flip"), [(0, False), (0, True), (2, False), (2, True)]
)
def test_labels_of_pixels_move_with_their_pixels(padding, flip):
    augment = made("pixels", padding=padding, flip=flip)
    found = augmented_batch(augment, range(64), labels=MAPS)
    images, labels = found["image"], found["label"]
    assert labels.dtype == np.uint8 and labels.shape == MAPS.shape
    inside = labels != IGNORED
    np.testing.assert_array_equal(labels[inside], images[..., 0][inside] // 2)
    # What comes from outside of the image is black, and has no label.
    assert not images[~inside].any()
    assert inside.all() == (padding == 0)
    # Each example has all of the label that its shift leaves inside.
    for before, after, kept in zip(MAPS, labels, inside, strict=True):
        rows, columns = kept.any(1).sum(), kept.any(0).sum()
        assert kept.sum() == rows * columns
        assert rows >= 6 - padding and columns >= 5 - padding
        if not padding:
            assert any(np.array_equal(after, m) for m in (before, before[:, ::-1]))


def test_images_are_augmented_alike_whatever_their_labels():
    how = {"padding": 2, "flip": True}
    with_maps = augmented_batch(made("pixels", **how), range(64), labels=MAPS)
    alone = augmented(made(**how), range(64))
    np.testing.assert_array_equal(with_maps["image"], alone)


@pytest.mark.parametrize(
    ("padding", "flip"), [(0, False), (0, True), (2, False), (2, True)]
)
def test_pictures_move_with_their_images(padding, flip):
    augment = made("picture", padding=padding, flip=flip)
    larger = IMAGES.repeat(3, 1).repeat(3, 2)
    found = augmented_batch(augment, range(64), labels=larger)
    np.testing.assert_array_equal(found["label"][:, ::3, ::3], found["image"])
    np.testing.assert_array_equal(found["label"][:, 2::3, 1::3], found["image"])


def test_the_frames_of_a_clip_are_augmented_alike():
    augment = made(padding=2, flip=True)
    clips = np.stack([IMAGES, IMAGES // 2, IMAGES // 4], axis=1)
    batch = {"image": clips, "label": LABELS, "index": LABELS, "epoch": LABELS}
    found = jax.device_get(jitted(augment, KEY, batch))["image"]
    still = jax.device_get(jitted(augment, KEY, batch | {"image": IMAGES}))["image"]
    np.testing.assert_array_equal(found, np.stack([still, still // 2, still // 4], 1))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from([0, 1, 6]), st.booleans())
def test_boxes_move_with_what_they_are_around(seed, padding, flip):
    """Beside pictures of the boxes, filled, which are augmented as images are."""
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.integers(0, [13, 17], (8, 3, 2, 2)), axis=2)
    classes = rng.integers(-1, 5, (8, 3))
    boxes = np.concatenate([classes[..., None], corners.reshape(8, 3, 4)], axis=-1)
    images = np.zeros((8, 12, 16, 3), np.uint8)
    for image, rows in zip(images, boxes, strict=True):
        for channel, (_, top, left, bottom, right) in enumerate(rows):
            image[top:bottom, left:right, channel] = 255
    index = np.arange(8, dtype=np.int32)
    batch = {"image": images, "label": boxes.astype(np.float32)}
    batch |= {"index": index, "epoch": index}
    augment = made("boxes", padding=padding, flip=flip)
    found = jax.device_get(jitted(augment, KEY, batch))
    if not augment.changes:
        np.testing.assert_array_equal(found["label"], boxes)
        return
    for image, before, after in zip(found["image"], boxes, found["label"], strict=True):
        for channel in range(3):
            rows, columns = np.nonzero(image[..., channel])
            sides = [
                np.ptp(values) + 1 if values.size else 0 for values in (rows, columns)
            ]
            _, top, left, bottom, right = before[channel]
            if top == bottom or left == right:
                continue
            cut = bottom - top != sides[0] or right - left != sides[1]
            if before[channel, 0] < 0 or (cut and min(sides) < 2):
                assert after[channel, 0] == -1
                continue
            box = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
            assert after[channel].tolist() == [before[channel, 0], *box]


def test_light_moves_no_box():
    """However small it is."""
    boxes = np.array([[[3, 1, 2, 1.5, 9], [-1, 0, 0, 0, 0]]], np.float32)
    batch = {"image": np.zeros((1, 12, 16, 3), np.uint8), "label": boxes}
    batch |= {key: np.zeros(1, np.int32) for key in ("index", "epoch")}
    found = jitted(made("boxes", light=0.1), KEY, batch)
    np.testing.assert_array_equal(found["label"], boxes)


def test_flips_are_fair():
    flip = made(flip=True)
    mirrored = [
        np.any(augmented(flip, range(64), epoch) != IMAGES, axis=(1, 2, 3))
        for epoch in range(20)
    ]
    assert 0.45 < np.mean(mirrored) < 0.55
    assert np.mean(mirrored, axis=0).min() > 0.2  # every example, over the epochs


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(64)), st.integers(0, 1000))
def test_an_example_is_treated_the_same_in_any_batch(order, epoch):
    augment = made(padding=2, flip=True)
    whole = augmented(augment, range(64), epoch)
    np.testing.assert_array_equal(augmented(augment, order, epoch), whole[order])
    half = order[:32]
    np.testing.assert_array_equal(augmented(augment, half, epoch), whole[half])


def test_epochs_and_keys_differ():
    augment = made(padding=2, flip=True)
    first = augmented(augment, range(64))
    assert not np.array_equal(first, augmented(augment, range(64), epoch=1))
    other = augmented(augment, range(64), key=jax.random.key(8))
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_normalize(dtype):
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.25, 0.3)
    result = normalize(jnp.asarray(IMAGES), mean, std, dtype)
    assert result.dtype == dtype
    expected = (IMAGES / 255 - np.array(mean)) / np.array(std)
    tolerance = 1e-5 if dtype == jnp.float32 else 0.02
    np.testing.assert_allclose(result.astype(np.float32), expected, atol=tolerance)
    assert normalize(jnp.asarray(IMAGES), mean, std).dtype == jnp.float32
    clips = jnp.asarray(IMAGES).reshape(8, 8, 6, 5, 3)
    np.testing.assert_array_equal(
        normalize(clips, mean, std, dtype), result.reshape(clips.shape)
    )


def test_light_moves_nothing_and_differs_from_epoch_to_epoch():
    both = made(padding=2, flip=True, light=0.4)
    still, moved = made(light=0.4), made(padding=2, flip=True)
    assert still.changes
    light = augmented(still, range(64))
    assert (light != IMAGES).any((1, 2, 3)).mean() > 0.9
    assert not np.array_equal(light, augmented(still, range(64), epoch=1))
    shifted, lit = augmented(moved, range(64)), augmented(both, range(64))
    correlation = np.corrcoef(shifted.ravel(), lit.ravel())[0, 1]
    assert correlation > 0.8
    maps = augmented_batch(made("pixels", light=0.4), range(64), labels=MAPS)
    np.testing.assert_array_equal(maps["label"], MAPS)


def changed(steps, images):
    rows = np.arange(len(images), dtype=np.int32)
    batch = {"image": images, "label": rows, "index": rows, "epoch": 0 * rows}
    return jax.device_get(jitted(Augment("class", steps), KEY, batch))["image"]


OPTIONS = {"rotation": "rotation(degrees=30.0)"}  # without a default
FLOATS = [n for n, k in augmentations.AUGMENTATIONS.items() if k.takes_floats]


@pytest.mark.parametrize("name", FLOATS)
def test_images_with_fractions_change_as_others(name):
    """Whole gray levels give the result of uint8, but for its rounding."""
    images = np.random.default_rng(1).integers(0, 256, (4, 12, 10, 3), np.uint8)
    steps = augmentations.made((OPTIONS.get(name, name),))
    expected = changed(steps, images)
    found = changed(steps, images.astype(np.float32))
    assert expected.dtype == np.uint8 and found.dtype == np.float32
    assert np.abs(found.clip(0, 255) - expected).max() <= 0.501
    scaled = changed(steps, images.astype(np.float32) * 4)  # values above 255
    filled = (found == 0) | (name == "random_erasing")
    np.testing.assert_allclose(scaled[~filled], 4 * found[~filled], rtol=1e-5, atol=0.1)


@pytest.mark.parametrize("name", augmentations.AUGMENTATIONS)
def test_which_augmentations_take_images_with_fractions(name):
    (step,) = augmentations.made((OPTIONS.get(name, name),))
    needs = {need.fact: need for need in step.part(labels.CLASS).takes}
    refused = "image type" in needs and "float32" not in needs["image type"].accepted
    assert refused == (name not in FLOATS)
    assert refused == (
        name in "color_jitter grayscale invert posterize solarize equalize "
        "auto_contrast sharpness rand_augment trivial_augment auto_augment aug_mix"
    )


class Halved(Augmentation):
    def image(self, key, image):
        return image / 2


def test_an_augmentation_that_changes_the_type_is_an_error():
    with pytest.raises(UserError, match=r"Halved' returns images of the type float32"):
        changed((Halved(),), IMAGES)
