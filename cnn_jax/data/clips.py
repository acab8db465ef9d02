"""The user's own video clips, in one folder per class."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Cells, Channels, Count, Fraction, Side
from cnn_jax.data import clip_files, images
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.folder import TEST_SPLIT, Layout, labeled
from cnn_jax.data.source import Files, Source, StandIn
from cnn_jax.data.splits import Encoded, Records, Shape
from cnn_jax.data.subset import Crops

WHOLE = Crops()
Clip = np.ndarray  # uint8 [frames, height, width, channels]


def load(
    subset: Crops = WHOLE,
    *,
    dir: Place = "",
    image_size: tuple[Side, ...] = (112,),
    channels: Channels = 3,
    frames: Cells = 16,
    frame_step: Count = 1,
    clips_per_video: Count = 1,
    test_fraction: Fraction = 0.2,
    test_split: tuple[str, ...] = TEST_SPLIT,
) -> Dataset:
    """Returns clips of the videos in `dir/<class>/*`, or `dir/<split>/<class>/*`.

    A video is a folder of frames, an animated picture, or a video file; see
    `clip_files.frames`. `folder.load` describes the classes, the splits and the ignored
    files.

    A training clip starts at a random frame. If `random_crop` is set, all its frames
    are cropped to one random box. Clips of the other splits are evenly spaced in their
    video, and all frames are cropped to the centered box of `images.fit`. A video that
    is too short for a clip repeats its last frame. Videos are decoded anew for every
    clip, by `data.workers` processes.

    Args:
      subset: which videos are used, and how their frames are cropped. A smaller box is
        enlarged more, and this enlarges the motion in the clip too.
      dir: the folder of the videos.
      image_size: the size of each frame, a side in pixels or (height, width).
      channels: 3 for RGB, 1 for gray.
      frames: the number of frames in a clip.
      frame_step: the number of video frames from one frame of a clip to the next.
      clips_per_video: the number of clips of each video in evaluation. The possible
        start frames are divided into this number of equal ranges, and each clip starts
        in the middle of its range.
      test_fraction: the share of the videos of every class that is for testing, between
        0 and 1; ignored if there is a test split.
      test_split: see `folder.load`.

    Raises:
      UserError: see `folder.load`; also if a video cannot be read, during training.
    """
    images.check_shape(min(images.sides(image_size)), channels)
    layout = Layout(subset, test_fraction, test_split)
    classes, parts = labeled(dir, layout, clip_files.CLIPS)
    shape = (frames, *images.sides(image_size), channels)
    transform = subset.transform() | {"frame_step": frame_step}
    videos = subset.of(
        {role: Clips(f, shape, **transform) for role, f in parts.items()}
    )
    train = videos.pop("train")
    evaluated = {
        role: replace(split, clips_per_video=clips_per_video)
        for role, split in videos.items()
    }
    return assemble(
        {"train": train, **evaluated}, classes=classes, in_memory=False, root=dir
    )


@dataclass(frozen=True)
class Clips(Records):
    """A split of clips of videos on the disk; see `Records`.

    Example i is clip `i % clips_per_video` of video `i // clips_per_video`. The start
    of a training clip is random.

    Attributes:
      frame_step, clips_per_video: see `load`.
    """

    frame_step: Count = 1
    clips_per_video: int = 1

    @property
    def random_crop(self) -> bool:
        return True

    def __len__(self) -> int:
        return super().__len__() * self.clips_per_video

    def paths(self) -> Sequence[str] | None:
        """Returns the path of each clip's video; clip k of several ends with "#k"."""
        paths, several = super().paths(), range(self.clips_per_video)
        if paths is None or self.clips_per_video == 1:
            return paths
        return [f"{path}#{part}" for path in paths for part in several]

    def known_labels(self) -> np.ndarray | None:
        labels = super().known_labels()
        return None if labels is None else labels.repeat(self.clips_per_video)

    def examples(
        self,
        indices: Sequence[int] | np.ndarray,
        rngs: Sequence[np.random.Generator | None],
    ) -> Iterable[dict]:
        """Yields {"image": uint8 [frames, height, width, channels], "label": int}."""
        videos, parts = np.divmod(indices, self.clips_per_video)
        if self.indices is not None:
            videos = self.indices[videos]
        stored = self.reader.read([int(i) for i in videos])
        for example, part, rng in zip(stored, parts, rngs, strict=True):
            yield self.decoded(example, rng, int(part))

    def decoded(
        self, example: Encoded, rng: np.random.Generator | None, part: int = 0
    ) -> dict:
        image = cut(
            example.path,
            self.image_shape,
            self.crop,
            frame_step=self.frame_step,
            place=rng or (part + 0.5) / self.clips_per_video,
            crop_area=self.crop_area,
            interpolation=self.interpolation,
        )
        return {"image": image, "label": example.label}


def cut(
    path: str | Path,
    image_shape: Shape,
    crop: float = 1.0,
    *,
    frame_step: Count = 1,
    place: float | np.random.Generator = 0.5,
    crop_area: Sequence[float] | None = None,
    interpolation: str = images.BILINEAR,
) -> Clip:
    """Returns a clip of a video, uint8 [frames, height, width, channels].

    Args:
      path: the folder or the file of the video.
      image_shape: the shape of the clip.
      crop: the fraction of the shorter side that is kept (see `images.fit`).
      frame_step: see `load`.
      place: the start of the clip as a number from 0 (the first possible start frame)
        to 1 (the last one). Or a random generator, which draws the start and, if
        `crop_area` is set, the box of the frames.
      crop_area, interpolation: see `Records`.

    Raises:
      UserError: see `clip_files.frames`.
    """
    count, *shape = image_shape

    def choose(there: int) -> list[int]:
        room = max(there - ((count - 1) * frame_step + 1), 0)
        if isinstance(place, float):
            # With an even number of starts, the middle is the start before it.
            start = max(math.ceil((room + 1) * place - 1e-6) - 1, 0)
        else:
            start = int(place.integers(room + 1))
        return [min(start + t * frame_step, there - 1) for t in range(count)]

    frames = clip_files.each_frame(path, choose)
    first = next(frames)
    box = images.centered_box(first.size, image_shape, crop)
    if crop_area is not None and not isinstance(place, float):
        box = images.random_crop_box(first.size, place, crop_area)
    return np.stack(
        [
            images.resample(
                frame, tuple(shape), lambda _: box, interpolation=interpolation
            )
            for frame in itertools.chain([first], frames)
        ]
    )


FILES = Files(clip_files.CLIPS, cut)
SOURCE = Source(
    "clips", load, takes=Crops, stand_in=StandIn("moving_digits"), files=FILES
)
