"""Enhancement: the loss, and PSNR and SSIM beside those of the image itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cnn_jax.core.errors import UserError
from cnn_jax.data import bicubic
from cnn_jax.tasks import metrics
from cnn_jax.tasks.enhancement import Enhancement


def example(seed, factor=1, side=24, channels=1):
    """An image, the picture that it was and what a network made of it."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (side // 4, side // 4, channels), np.uint8)
    label = bicubic.resize(small, (side, side))
    image = bicubic.resize(label, 1 / factor)
    noise = rng.normal(0, 0.02, label.shape)
    return image, label, (label / 255 + noise).astype(np.float32)


def batch_of(examples):
    images, labels, outputs = (np.stack(rows) for rows in zip(*examples, strict=True))
    batch = {"image": images, "label": labels}
    return jnp.asarray(outputs), jax.tree.map(jnp.asarray, batch)


def rows_of(task, outputs, batch):
    found = task.predictions(outputs, batch)
    return [
        {
            "image": np.asarray(batch["image"][i]),
            "label": np.asarray(batch["label"][i]),
            "output": np.asarray(found["output"][i]),
        }
        for i in range(len(outputs))
    ]


@pytest.mark.parametrize(("name", "power"), [("l1", 1), ("l2", 2)])
def test_loss(name, power):
    outputs, batch = batch_of([example(seed) for seed in range(3)])
    task = Enhancement(loss_name=name)
    expected = np.mean(np.abs(outputs - batch["label"] / 255) ** power)
    assert float(task.loss(outputs, batch)) == pytest.approx(float(expected), rel=1e-5)
    # Padding counts nowhere.
    masked = batch | {"mask": jnp.array([1.0, 1.0, 0.0])}
    found = task.scores(metrics.add({}, task.metrics(outputs, masked)))
    first_two = {key: rows[:2] for key, rows in batch.items()}
    expected = float(task.loss(outputs[:2], first_two))
    assert found["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("factor", "border", "cut"), [(1, None, 0), (2, None, 2), (2, 5, 5)]
)
def test_scores_are_those_of_scikit_image(factor, border, cut):
    task = Enhancement(border=border)
    outputs, batch = batch_of([example(seed, factor) for seed in range(3)])
    rows = rows_of(task, outputs, batch)
    found = task.scores({}, rows)
    for prefix, pictures in (
        ("", [row["output"] for row in rows]),
        ("input_", [bicubic.resize(row["image"], (24, 24)) for row in rows]),
    ):
        values = []
        for picture, row in zip(pictures, rows, strict=True):
            pair = [
                p[cut : 24 - cut, cut : 24 - cut, 0] for p in (picture, row["label"])
            ]
            if np.array_equal(*pair):  # a factor of one: the picture itself
                values.append((np.nan, 1.0))
                continue
            values.append(
                (
                    peak_signal_noise_ratio(*pair, data_range=255),
                    structural_similarity(
                        *pair,
                        gaussian_weights=True,
                        sigma=1.5,
                        use_sample_covariance=False,
                        data_range=255,
                    ),
                )
            )
        psnr, ssim = np.transpose(values)
        if np.isnan(psnr).all():
            assert f"{prefix}psnr" not in found
        else:
            assert found[f"{prefix}psnr"] == pytest.approx(np.mean(psnr))
        assert found[f"{prefix}ssim"] == pytest.approx(np.mean(ssim))


def test_pictures_that_equal_their_targets_have_no_psnr():
    """One of three pictures equals its target; the PSNR is the mean of the others."""
    task = Enhancement()
    outputs, batch = batch_of([example(seed) for seed in range(3)])
    rows = rows_of(task, outputs, batch)
    rows[1] = rows[1] | {"output": rows[1]["label"]}
    found, rest = task.scores({}, rows), task.scores({}, [rows[0], rows[2]])
    assert found["psnr"] == rest["psnr"] and found["psnr_pictures"] == 2
    assert np.isfinite(list(found.values())).all()
    assert "psnr_pictures" not in rest and "ssim_pictures" not in found


def test_pictures_smaller_than_the_border_are_left_out():
    task = Enhancement(border=5)
    outputs, batch = batch_of([example(0, side=24)])
    small, small_batch = batch_of([example(0, side=8)])
    rows = [*rows_of(task, outputs, batch), *rows_of(task, small, small_batch)]
    found = task.scores({}, rows)
    assert found["psnr_pictures"] == found["ssim_pictures"] == 1
    assert task.summaries({}, rows_of(task, small, small_batch))["enhanced"].any()


def test_small_pictures_have_no_similarity():
    task = Enhancement()
    outputs, batch = batch_of([example(0, side=8)])
    found = task.scores({}, rows_of(task, outputs, batch))
    assert found.keys() == {"psnr"}  # the image itself is the picture
    covered = Enhancement(border=4)
    assert covered.scores({}, rows_of(covered, outputs, batch)) == {}


def test_pictures_and_answers():
    task = Enhancement()
    outputs, batch = batch_of([example(seed, 2) for seed in range(2)])
    worst = rows_of(task, outputs, batch)
    picture = task.summaries({}, worst)["enhanced"]
    assert picture.dtype == np.uint8 and picture.shape[1] >= 3 * 24
    assert task.summaries({}, []) == {}
    assert (
        task.answers([], np.asarray(outputs), 5) == [[{"width": 24, "height": 24}]] * 2
    )


def test_a_colored_picture_keeps_its_colors():
    """If the luma of the output is the picture's luma, the result is the picture."""
    from cnn_jax.data import colors

    rng = np.random.default_rng(0)
    small = rng.integers(40, 200, (4, 5, 3), np.uint8)
    image = bicubic.resize(small, (16, 20))
    luma = colors.luma(image)[..., None] / np.float32(255)
    found = Enhancement().drawn(image, luma)
    assert np.abs(found.astype(int) - image).max() <= 3  # rounded twice
    gray = Enhancement().drawn(image[..., 0], luma)
    np.testing.assert_array_equal(gray[..., 0], np.rint(luma[..., 0] * 255))
    assert (gray[..., :1] == gray).all()
    three = rng.random((32, 40, 3), np.float32)
    np.testing.assert_array_equal(
        Enhancement().drawn(image, three), np.rint(three * 255)
    )


def test_mistakes():
    with pytest.raises(UserError, match="loss_name"):
        Enhancement(loss_name="l3")
