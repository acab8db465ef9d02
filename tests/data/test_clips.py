"""The user's own clips: which frames, which part of them, and how they are counted."""

import collections

import numpy as np
import pytest
from PIL import Image

from cnn_jax.core.errors import UserError
from cnn_jax.data import clips, load
from cnn_jax.data.loading import eval_batches, train_batches

# Videos are of 9 to 15 frames; the left half of frame t is 10 * t, the right one white.
LONG = 15


def save(path, count, size=(24, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [Image.new("L", size, 255) for _ in range(count)]
    for t, frame in enumerate(frames):
        frame.paste(10 * t, (0, 0, size[0] // 2, size[1]))
    frames[0].save(path, save_all=True, append_images=frames[1:])


@pytest.fixture
def videos(tmp_path):
    """dir/<class>/*.gif: ten videos a class."""
    for name in ("jump", "wave"):
        for i in range(10):
            save(tmp_path / "videos" / name / f"{i}.gif", LONG)
    return tmp_path / "videos"


def options(videos, **more):
    given = {"dir": str(videos), "image_size": (8,), "channels": 1, "frames": 4}
    return given | more


def times(clip):
    """The numbers of a clip's frames."""
    return (clip[:, 2, 1, 0] / 10).round().astype(int).tolist()


def test_class_folders_are_split(videos):
    dataset = load("clips", **options(videos, image_size=(8, 12), channels=3))
    assert dataset.classes == ("jump", "wave")
    assert dataset.image_shape == (4, 8, 12, 3)
    for role, count in (("train", 8), ("test", 2)):
        labels = dataset.splits[role].known_labels()
        assert np.bincount(labels).tolist() == [count, count]
    example = dataset.splits["train"].example(9, None)
    assert example["label"] == 1 and example["image"].shape == (4, 8, 12, 3)
    assert example["image"].dtype == np.uint8


@pytest.mark.parametrize(
    ("count", "more", "starts"),
    [
        (1, {}, [5]),  # of 0 to 11: the middle
        (3, {}, [1, 5, 9]),
        (2, {"frame_step": 2}, [2, 6]),  # of 0 to 8
        (1, {"frames": 15}, [0]),
        (12, {}, list(range(12))),  # each once
    ],
)
def test_a_video_is_tested_on_evenly_spaced_clips(videos, count, more, starts):
    dataset = load("clips", **options(videos, clips_per_video=count, **more))
    split = dataset.splits["test"]
    assert len(split) == 4 * count and len(dataset.splits["train"]) == 16
    assert split.known_labels().tolist() == [0] * 2 * count + [1] * 2 * count
    batches = list(eval_batches(split, batch_size=5))
    found = {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}
    real = found["mask"] > 0
    assert found["video"][real].tolist() == np.arange(4).repeat(count).tolist()
    step, frames = more.get("frame_step", 1), more.get("frames", 4)
    for i, clip in enumerate(found["image"][real]):
        start = starts[i % count]
        assert times(clip) == [start + step * t for t in range(frames)]


def test_a_short_video_repeats_its_last_frame(videos):
    dataset = load("clips", **options(videos, frames=6, frame_step=4))
    for rng in (None, np.random.default_rng(0)):
        clip = dataset.splits["train"].example(0, rng)["image"]
        assert times(clip) == [0, 4, 8, 12, 14, 14]


def test_training_begins_anywhere(videos):
    split = load("clips", **options(videos)).splits["train"]
    given = {"batch_size": 12, "seed": 3}
    batches = list(train_batches(split, start_step=0, stop_step=20, **given))
    starts = collections.Counter()
    for batch in batches:
        assert "video" not in batch
        for clip in batch["image"]:
            first, *_ = found = times(clip)
            assert found == list(range(first, first + 4))
            starts[first] += 1
    assert starts.keys() == set(range(12)) and min(starts.values()) > 5
    # A batch is a function of the seed and the step.
    again = list(train_batches(split, start_step=7, stop_step=9, **given))
    for one, other in zip(batches[7:9], again, strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_all_frames_are_cropped_alike(videos):
    """The white begins at one place in all frames of a clip, elsewhere in others."""
    dataset = load("clips", **options(videos, random_crop=(0.2, 1.0), image_size=(16,)))
    split, edges = dataset.splits["train"], set()
    for seed in range(30):
        clip = split.example(0, np.random.default_rng(seed))["image"]
        white = (clip[..., 0] > 200).sum((1, 2))
        assert white.std() <= 0.1 * clip[0].size
        edges.add(int(white[0]))
    assert len(edges) > 10
    whole = load("clips", **options(videos))
    assert whole.crop == 1
    plain = whole.splits["train"].example(0, np.random.default_rng(0))["image"]
    columns = plain[0, ..., 0].mean(0)
    assert columns[:3].max() < 150 and columns[5:].min() == 255


def test_examples_are_counted_in_videos(videos):
    few = {"train_examples": 6, "test_examples": 0.5, "clips_per_video": 3}
    splits = load("clips", **options(videos, **few)).splits
    assert len(splits["train"]) == 6 and len(splits["test"]) == 2 * 3
    assert splits["test"].known_labels().tolist() in (
        [0] * 3 + [1] * 3,
        [1] * 3 + [0] * 3,
    )


def test_identities_of_clips(videos):
    one, several = (
        load("clips", **options(videos, clips_per_video=count)) for count in (1, 3)
    )
    names = one.identities("test")
    assert {name[:5] for name in names} == {"jump/", "wave/"} and len(names) == 4
    expected = [f"{name}#{part}" for name in names for part in range(3)]
    assert several.identities("test") == expected


def test_split_folders_hold_folders_of_frames(tmp_path, write):
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            for clip in range(2):
                for t in range(3):
                    write(tmp_path / split / name / f"{clip}" / f"{t}.jpg")
    dataset = load("clips", **options(tmp_path))
    assert dataset.classes == ("a", "b")
    assert [len(split) for split in dataset.splits.values()] == [4, 4, 4]
    for role in ("val", "test"):
        assert role in dataset.splits[role].reader.paths[0]


def test_a_class_of_folders_of_frames_may_be_called_train(tmp_path, write):
    for name in ("plane", "train"):
        for clip in range(5):
            for t in range(2):
                write(tmp_path / name / f"{clip}" / f"{t}.png")
    dataset = load("clips", **options(tmp_path))
    assert dataset.classes == ("plane", "train")
    assert [len(split) for split in dataset.splits.values()] == [8, 2]


def test_mistakes_are_one_line(videos, write):
    for change, message in (
        ({"frames": 0}, "frames=0 must be at least 1"),
        ({"frame_step": 0}, "frame_step=0"),
        ({"clips_per_video": 0}, "clips_per_video=0"),
        ({"random_crop": (0.0, 1.0)}, "random_crop="),
        ({"image_size": (1, 2, 3)}, "image_size is"),
        ({"dir": str(videos / "jump")}, "holds no clips in class folders"),
        ({"dir": ""}, "set data.dir to a folder of clips"),
    ):
        with pytest.raises(UserError, match=message):
            load("clips", **options(videos) | change)
    (videos / "nothing").mkdir()
    with pytest.raises(UserError, match=r"holds no clips \(folders of frames, or apng"):
        load("clips", **options(videos))
    write(videos / "nothing" / "0.png"), write(videos / "nothing" / "1.png")
    split = load("clips", **options(videos)).splits["train"]
    with pytest.raises(UserError, match="a still picture: put the frames of a clip"):
        list(train_batches(split, batch_size=17, seed=0, start_step=0, stop_step=1))


def test_a_clip_of_a_path(videos):
    clip = clips.cut(videos / "jump/0.gif", (3, 16, 12, 1), place=1.0)
    assert clip.shape == (3, 16, 12, 1) and times(clip) == [12, 13, 14]
