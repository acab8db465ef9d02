"""Batches: pure functions of seed and step, every example in its turn."""

import itertools
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.core.errors import UserError
from cnn_jax.data import folder, shared_memory
from cnn_jax.data.loading import check_workers, eval_batches, train_batches
from cnn_jax.data.splits import Arrays, Records, Varied

sizes = st.integers(1, 40)
seeds = st.integers(0, 2**31)


def numbered(count):
    """A split whose i-th image is filled with i, labeled 2 i."""
    images = np.arange(count, dtype=np.uint8)[:, None, None, None]
    return Arrays(
        images.repeat(2, 1).repeat(3, 2), 2 * np.arange(count, dtype=np.int32)
    )


def joined(batches, key):
    return np.concatenate([batch[key] for batch in batches])


def assert_same(some, others):
    for one, other in itertools.zip_longest(some, others):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])
            assert one[key].dtype == other[key].dtype


@given(sizes, sizes, seeds)
def test_every_epoch_is_a_permutation(count, batch_size, seed):
    batches = list(
        train_batches(
            numbered(count),
            batch_size=batch_size,
            seed=seed,
            start_step=0,
            stop_step=-(-3 * count // batch_size),
        )
    )
    index, epoch = joined(batches, "index"), joined(batches, "epoch")
    np.testing.assert_array_equal(epoch, np.arange(len(epoch)) // count)
    for e in range(3):
        np.testing.assert_array_equal(np.sort(index[epoch == e]), np.arange(count))
    np.testing.assert_array_equal(joined(batches, "image")[:, 0, 0, 0], index)
    np.testing.assert_array_equal(joined(batches, "label"), 2 * index)


def test_epochs_and_seeds_have_orders_of_their_own():
    options = {"batch_size": 200, "start_step": 0, "stop_step": 2}
    orders = [
        batch["index"].tolist()
        for seed in (0, 1)
        for batch in train_batches(numbered(200), seed=seed, **options)
    ]
    assert all(a != b for a, b in itertools.combinations(orders, 2))


@given(sizes, sizes, seeds, st.integers(0, 9))
def test_starting_late_equals_skipping(count, batch_size, seed, start):
    def batches(start_step):
        return train_batches(
            numbered(count),
            batch_size=batch_size,
            seed=seed,
            start_step=start_step,
            stop_step=12,
        )

    assert_same(batches(start), itertools.islice(batches(0), start, None))


@given(sizes, st.integers(1, 9), st.integers(1, 4), seeds)
def test_hosts_together_have_the_batch_of_one(count, rows, hosts, seed):
    def batches(shard, make, **options):
        return make(numbered(count), batch_size=rows * hosts, shard=shard, **options)

    steps = {"seed": seed, "start_step": 1, "stop_step": 4}
    for make, options in ((train_batches, steps), (eval_batches, {})):
        whole = list(batches((0, 1), make, **options))
        parts = [list(batches((h, hosts), make, **options)) for h in range(hosts)]
        assert {len(part) for part in parts} == {len(whole)}
        assert_same(
            whole, [{k: joined(p, k) for k in p[0]} for p in zip(*parts, strict=True)]
        )


@given(sizes, st.integers(1, 9), st.integers(1, 4))
def test_evaluation_covers_every_example_once(count, rows, hosts):
    batches = [
        batch
        for host in range(hosts)
        for batch in eval_batches(
            numbered(count), batch_size=rows * hosts, shard=(host, hosts)
        )
    ]
    assert {batch["image"].shape for batch in batches} == {(rows, 2, 3, 1)}
    mask, index = joined(batches, "mask"), joined(batches, "index")
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(np.sort(index[mask == 1]), np.arange(count))
    assert np.all(index[mask == 0] == -1) and set(mask) <= {0, 1}
    np.testing.assert_array_equal(
        joined(batches, "label")[mask == 1], 2 * index[mask == 1]
    )


def test_types_and_shapes():
    options = {"batch_size": 4, "seed": 0, "start_step": 0, "stop_step": 1}
    (batch,) = train_batches(numbered(9), **options)
    assert {key: (value.dtype.name, value.shape) for key, value in batch.items()} == {
        "image": ("uint8", (4, 2, 3, 1)),
        "label": ("int32", (4,)),
        "index": ("int32", (4,)),
        "epoch": ("int32", (4,)),
    }


@given(sizes, st.integers(1, 9))
def test_clips_and_labels_of_pixels_are_loaded_as_they_are(count, batch_size):
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (count, 2, 3, 4, 1), np.uint8)
    maps = rng.integers(0, 256, (count, 3, 4), np.uint8)
    split = Arrays(clips, maps)
    batches = list(eval_batches(split, batch_size=batch_size))
    batches[:0] = train_batches(
        split, batch_size=batch_size, seed=1, start_step=0, stop_step=3
    )
    for batch in batches:
        real = batch.get("mask", np.ones(batch_size)) > 0
        assert batch["image"].shape == (batch_size, 2, 3, 4, 1)
        assert batch["label"].shape == (batch_size, 3, 4)
        assert batch["image"].dtype == batch["label"].dtype == np.uint8
        rows = batch["index"][real]
        np.testing.assert_array_equal(batch["image"][real], clips[rows])
        np.testing.assert_array_equal(batch["label"][real], maps[rows])
        assert not batch["image"][~real].any() and not batch["label"][~real].any()


def test_bad_sizes_are_one_line():
    steps = {"start_step": 0, "stop_step": 1}
    with pytest.raises(UserError, match=r"batch size, 10, .* hosts, 4"):
        train_batches(numbered(9), batch_size=10, seed=0, shard=(0, 4), **steps)
    with pytest.raises(UserError, match="batch size, 0"):
        eval_batches(numbered(9), batch_size=0)
    with pytest.raises(UserError, match="seed is -1"):
        train_batches(numbered(9), batch_size=3, seed=-1, **steps)
    with pytest.raises(UserError, match=r"data\.workers is -1"):
        eval_batches(numbered(9), batch_size=3, workers=-1)


@pytest.fixture
def photos(tmp_path, write):
    for i in range(11):
        write(tmp_path / "ab"[i % 2] / f"{i}.jpg", size=(50 + i, 40))
    options = {"dir": str(tmp_path), "image_size": 12, "in_memory": False}
    return folder.SOURCE.load(**options, random_crop=(0.08, 1.0))


def test_streams_do_not_depend_on_workers_start_or_hosts(photos):
    split = photos.splits["train"]

    def batches(start=0, **options):
        return list(
            train_batches(
                split, batch_size=4, seed=3, start_step=start, stop_step=7, **options
            )
        )

    alone = batches()
    assert len(alone) == 7 and alone[-1]["epoch"].max() >= 2
    assert_same(alone, batches(workers=1))
    assert_same(alone, batches(workers=2))
    assert_same(alone[5:], batches(start=5, workers=2))
    parts = [batches(shard=(h, 2)) for h in (0, 1)]
    assert_same(
        alone, [{k: joined(p, k) for k in p[0]} for p in zip(*parts, strict=True)]
    )


def test_streams_are_cropped_anew_in_every_epoch(photos):
    split = photos.splits["train"]
    first, second = train_batches(
        split, batch_size=len(split), seed=0, start_step=0, stop_step=2
    )
    a, b = (x["image"][np.argsort(x["index"])].astype(int) for x in (first, second))
    assert np.all(np.abs(a - b).mean(axis=(1, 2, 3)) > 1)
    (plain,) = eval_batches(split, batch_size=len(split))
    np.testing.assert_array_equal(
        plain["image"], [split.example(i, None)["image"] for i in range(len(split))]
    )


@pytest.mark.full
def test_evaluation_of_a_stream(photos):
    for name, split in photos.splits.items():
        alone = list(eval_batches(split, batch_size=4))
        assert_same(alone, eval_batches(split, batch_size=4, workers=2))
        assert sum(batch["mask"].sum() for batch in alone) == len(split), name


def pictures(count, factor=1):
    """Pictures of sizes of their own, and the same `factor` times as large."""
    rng = np.random.default_rng(0)
    images = tuple(
        rng.integers(0, 256, (6 + i, 9 - i, 3), np.uint8) for i in range(count)
    )
    return images, tuple(i.repeat(factor, 0).repeat(factor, 1) for i in images)


def test_images_of_sizes_of_their_own_are_evaluated_one_by_one():
    images, labels = pictures(4, factor=2)
    split = Varied(images, labels)
    for host in (0, 1):
        batches = list(eval_batches(split, batch_size=8, shard=(host, 2), devices=2))
        assert len(batches) == 4
        for i, batch in enumerate(batches):
            for row in range(2):
                np.testing.assert_array_equal(batch["image"][row], images[i])
                np.testing.assert_array_equal(batch["label"][row], labels[i])
            assert batch["mask"].tolist() == [float(host == 0), 0]
            assert batch["index"].tolist() == [i if host == 0 else -1, -1]
    kept = split.subset(np.array([2, 0]))
    assert [image.shape for image in kept.images] == [images[2].shape, images[0].shape]


def test_workers_need_their_library(monkeypatch):
    """Workers need grain only if the examples must be loaded."""
    monkeypatch.setitem(sys.modules, "grain", None)
    check_workers([numbered(3)], 2)
    image = np.zeros((2, 2, 1), np.uint8)
    varied = Varied((image,), (image,))
    check_workers([varied], 0)
    with pytest.raises(UserError, match=r"config.data.workers needs the package grain"):
        check_workers([numbered(3), varied], 2)


def test_a_start_without_a_step_removes_what_a_killed_run_left(monkeypatch):
    """The run was killed after its last step; its workers' memory is still there."""
    claimed = []
    monkeypatch.setattr(shared_memory, "claim", lambda: claimed.append(True))
    split = Records(folder.Files(["a.png"] * 4, np.zeros(4, np.int32)), (2, 3, 1))
    options = {"batch_size": 2, "seed": 0, "start_step": 6, "stop_step": 6}
    assert list(train_batches(split, workers=2, **options)) == [] and claimed == [True]
    assert list(train_batches(numbered(4), workers=2, **options)) == []
    assert list(train_batches(split, workers=0, **options)) == [] and len(claimed) == 1
