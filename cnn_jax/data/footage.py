"""The frames of a clip as it is stored: a folder of pictures, an animated picture, or a
video file, which PyAV decodes (`pip install '.[video]'`)."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from PIL import Image

from cnn_jax.data import images, walk
from cnn_jax.data.walk import PICTURES, Kind, folders, visible_files
from cnn_jax.errors import UserError

ANIMATED = (".gif", ".webp", ".png", ".apng")
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
# Of how many frames there are, the numbers of those that are wanted, ascending.
Choice = Callable[[int], Sequence[int]]


def frames(path: str | Path, choose: Choice) -> list[Image.Image]:
    """The frames that `choose` picks of a clip, upright, in mode "L" or "RGB".

    The frames of a folder are its pictures by name, numbers in it by value: 9 stands
    before 10. Those of a video file are what it shows at the times that it has frames
    for. Durations do not count.

    Raises:
      UserError: with the path, a clip that is missing, damaged, without frames or with
        frames of several sizes, a still picture, and a video file without PyAV.
    """
    path = Path(path)
    with _blamed(path):
        if path.is_dir():
            read = _of_folder
        else:
            read = _of_video if path.suffix.lower() in VIDEOS else _of_picture
        found = read(path, choose)
        sizes = sorted({f"{frame.width}x{frame.height}" for frame in found})
        if len(sizes) > 1:
            raise ValueError(f"its frames have several sizes, {' and '.join(sizes)}")
    return found


def _of_folder(path: Path, choose: Choice) -> list[Image.Image]:
    files = sorted(PICTURES.found(path), key=_in_time)
    if not files:
        raise ValueError("it is a folder without pictures")
    return [images.read_image(files[i]) for i in choose(len(files))]


def _in_time(frame: Path) -> list[str | int]:
    """The name of a frame, to sort by: text and numbers in turn."""
    parts = re.split(r"(\d+)", frame.name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def _of_picture(path: Path, choose: Choice) -> list[Image.Image]:
    with Image.open(path) as picture:
        count = getattr(picture, "n_frames", 1)
        if count < 2:
            raise ValueError(
                "it is a still picture, and the frames of a clip belong in a folder"
            )
        found = []
        for i in choose(count):
            picture.seek(i)
            found.append(images.plain(picture.copy()))
        return found


def _of_video(path: Path, choose: Choice) -> list[Image.Image]:
    try:
        import av
    except ImportError:
        raise UserError(f"clip {path} needs PyAV: pip install '.[video]'.") from None
    # A file and no path: PyAV takes names in UTF-8 alone.
    with path.open("rb") as file, av.open(file) as container:
        if not container.streams.video:
            raise ValueError("there is no video in it")
        stream = container.streams.video[0]
        if container.format.name == "avi":  # which has no times of what is shown
            every = list(container.decode(stream))
            if not every:
                raise ValueError("none of its frames can be decoded")
            return [_upright(every[i]) for i in choose(len(every))]
        packets = (p for p in container.demux(stream) if p.size)
        # What shows none of its own, a packet may, leaves the one before it in place.
        times = sorted({p.pts for p in packets if p.pts is not None})
        if not times:
            raise ValueError("its frames have no times")
        moments = [times[i] for i in choose(len(times))]
        container.seek(moments[0], stream=stream)  # to a frame that needs no other
        found: list[Image.Image] = []
        shown = None
        for frame in container.decode(stream):
            while len(found) < len(moments) and moments[len(found)] < frame.pts:
                found.append(_upright(shown or frame))
            if len(found) == len(moments):
                break
            shown = frame
        if shown is None:
            raise ValueError("none of its frames can be decoded")
        return found + [_upright(shown)] * (len(moments) - len(found))


def _upright(frame: Any) -> Image.Image:
    """A frame of PyAV, turned as the file says: telephones write it so."""
    picture = frame.to_image()
    turned = frame.rotation % 360
    return picture.rotate(turned, expand=True) if turned else picture


def _blamed(path: Path) -> AbstractContextManager[None]:
    return images.blamed(f"clip {path}", "neither an animation nor a video")


def clips_in(folder: Path) -> Iterator[Path]:
    """The clips in a folder, by name: files of one each, and folders of frames."""
    of_frames = (path for path in folders(folder) if any(PICTURES.found(path)))
    yield from sorted([*visible_files(folder, ANIMATED + VIDEOS), *of_frames])


def is_clip(folder: Path) -> bool:
    """Whether a folder holds the frames of a clip, and not clips."""
    first = next(iter(PICTURES.found(folder)), None)
    if first is None:
        return False
    with _blamed(first), Image.open(first) as picture:
        return getattr(picture, "n_frames", 1) < 2


def identity(clip: Path) -> tuple:
    """Returns what a clip is on the disk. A folder is its first frame, its last frame
    and their number, so that a folder of links is the clip that the links lead to."""
    frames = list(PICTURES.found(clip)) if clip.is_dir() else [clip]
    return walk.identity(frames[0]), walk.identity(frames[-1]), len(frames)


CLIPS = Kind(
    "clips",
    "folders of frames, or " + " ".join(sorted(s[1:] for s in ANIMATED + VIDEOS)),
    clips_in,
    is_clip,
    identity,
)
