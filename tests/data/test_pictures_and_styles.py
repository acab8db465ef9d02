"""Random crops of pictures, each beside a style."""

import numpy as np
from PIL import Image

from cnn_jax import data
from cnn_jax.data import images
from cnn_jax.data.loading import eval_batches, train_batches


def batch_of(split, step=0, size=8):
    batches = train_batches(
        split, batch_size=size, seed=0, start_step=step, stop_step=step + 1
    )
    return next(batches)


def test_one_style_is_whole_and_contents_are_crops(pictures):
    style = pictures / "05.png"
    dataset = data.load(
        "pictures_and_styles", dir=str(pictures), styles=str(style), image_size=(10,)
    )
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert (len(train), len(test)) == (11, 1)
    first, second = batch_of(train), batch_of(train, 11)  # of the next epochs
    assert first["image"].shape == (8, 2, 10, 10, 3)
    whole = images.fit(style, (10, 10, 3))
    assert (first["image"][:, 1] == whole).all()
    again = batch_of(train)
    for key in first:
        np.testing.assert_array_equal(first[key], again[key])
    of = dict(zip(second["index"], second["image"][:, 0], strict=True))
    common = [i for i in first["index"] if i in of]
    assert common
    for index, image in zip(first["index"], first["image"][:, 0], strict=True):
        assert index not in of or not np.array_equal(image, of[index])
    (batch,) = eval_batches(test, batch_size=1)
    expected = images.fit(pictures / "09.png", (10, 10, 3))
    np.testing.assert_array_equal(batch["image"][0, 0], expected)


def test_many_styles(pictures, tmp_path):
    for i, value in enumerate((10, 100, 200)):
        (tmp_path / "styles").mkdir(exist_ok=True)
        gray = Image.fromarray(np.full((12, 12), value, np.uint8))
        gray.save(tmp_path / "styles" / f"{i}.png")
    dataset = data.load(
        "pictures_and_styles",
        dir=str(pictures),
        test_dir=str(pictures),
        styles=str(tmp_path / "styles"),
        image_size=(6,),
    )
    batch = batch_of(dataset.splits["train"], size=24)
    values = np.array([10, 100, 200])[batch["label"]]
    assert (batch["image"][:, 1] == values[:, None, None, None]).all()
    assert len(set(values)) == 3
    (batch,) = eval_batches(dataset.splits["test"], batch_size=12)
    assert list(batch["label"]) == [0, 1, 2] * 4
