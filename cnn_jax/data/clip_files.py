"""The frames of a clip on the disk.

A clip is a folder of pictures, an animated picture, or a video file. PyAV decodes video
files (extra `video`).
"""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from PIL import Image

from cnn_jax.core import extras
from cnn_jax.data import decoding, images, pixel_values, walk
from cnn_jax.data.walk import PICTURES, Kind, folders, visible_files

ANIMATED = (".gif", ".webp", ".png", ".apng")
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
# Pillow decodes all earlier frames of an animation to show a later one.
MOST_FRAMES = 2**15
MOST_DRAWN = 2**34  # pixels of all frames together
TOO_LONG = (
    "it has more than {} frames, the limit for frames of this size: shorten the clip, "
    "make its frames smaller, or store the clip as a video file"
)
# The formats of `VIDEOS` in FFmpeg. Some other formats are lists of files and URLs.
_CONTAINERS = "avi,matroska,webm,mov,mp4,mpeg,mpegts,mpegvideo,m4v"
_HELD = 2**26  # pixels of a video without timestamps that are kept in memory
# From the number of frames: the indices of the chosen frames, ascending.
Choice = Callable[[int], Sequence[int]]


def frames(path: str | Path, choose: Choice) -> list[Image.Image]:
    """Returns chosen frames of a clip as upright pictures in mode "L" or "RGB".

    The frames of a folder are its pictures, sorted by name. Numbers in names are sorted
    by value: 9 comes before 10. A video file has one frame for each timestamp of its
    packets: the picture that is visible at this time. How long a frame is visible is
    ignored.

    Args:
      path: the folder or the file of the clip.
      choose: a function from the number of frames in the clip to the indices of the
        chosen frames, in ascending order.

    Raises:
      UserError: the clip is missing, damaged, too large, a still picture or without
        frames; its frames have several sizes; or PyAV is needed and not installed. The
        error names the path.
    """
    return list(each_frame(path, choose))


def each_frame(path: str | Path, choose: Choice) -> Iterator[Image.Image]:
    """Yields the frames that `frames` returns, one by one.

    So only one frame at a time is in memory. The parameters and errors are those of
    `frames`.
    """
    path = Path(path)
    with _blamed(path):
        if path.is_dir():
            read = _of_folder
        else:
            decoding.regular(path)
            read = _of_video if path.suffix.lower() in VIDEOS else _of_picture
        size = None
        for frame in read(path, choose):
            size = size or frame.size
            if frame.size != size:
                known = " and ".join(
                    sorted("{}x{}".format(*s) for s in (size, frame.size))
                )
                raise ValueError(
                    f"its frames have several sizes, {known}, but all frames of a clip "
                    "must have one size"
                )
            yield frame


def _of_folder(path: Path, choose: Choice) -> Iterator[Image.Image]:
    files = sorted(PICTURES.found(path), key=_in_time)
    if not files:
        raise ValueError("it is a folder without pictures")
    for i in choose(len(files)):
        yield images.read_image(files[i])


def _in_time(frame: Path) -> list[str | int]:
    """Returns a key that sorts file names of frames with their numbers by value.

    The key is a list of the texts and the numbers in the file name, in turn.
    """
    parts = re.split(r"(\d+)", frame.name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def _of_picture(path: Path, choose: Choice) -> Iterator[Image.Image]:
    with _opened(path) as picture:
        if not _is_animated(picture):
            raise ValueError(
                "it is a still picture: put the frames of a clip in a folder"
            )
        width, height = picture.size
        most = min(MOST_FRAMES, MOST_DRAWN // (width * height))
        if picture.format == "GIF":
            _check_gif(path, most)
        count = getattr(picture, "n_frames", 1)
        if count > most:
            raise ValueError(TOO_LONG.format(most))
        for i in choose(count):
            picture.seek(i)
            decoding.check_size(picture.size)
            yield pixel_values.plain(picture.copy(), what=f"clip {path}")


def _check_gif(path: Path, most: int) -> None:
    """Raises `ValueError` if a GIF has more than `most` frames.

    This function stops counting after `most` frames. Pillow always counts all frames,
    and takes ten times as long for each frame.
    """

    def skip_blocks() -> None:
        while size := file.read(1)[:1]:
            if size == b"\0":
                return
            file.seek(size[0], 1)

    def skip_palette(flags: int) -> None:
        if flags & 0x80:
            file.seek(3 << ((flags & 7) + 1), 1)

    with open(path, "rb") as file:
        skip_palette(file.read(13)[10])
        frames = 0
        while (kind := file.read(1)) not in (b"", b";"):
            if kind == b",":
                frames += 1
                if frames > most:
                    raise ValueError(TOO_LONG.format(most))
                skip_palette((file.read(9) or b"\0")[-1])
            if kind in (b",", b"!"):
                file.seek(1, 1)
                skip_blocks()


def _of_video(path: Path, choose: Choice) -> Iterator[Image.Image]:
    av = extras.need("av", "video", f"clip {path}")
    options = {
        "format_whitelist": _CONTAINERS,
        "protocol_whitelist": "file",
        "max_pixels": str(decoding.MOST_PIXELS),
    }
    with ExitStack() as stack:
        # FFmpeg would read some file names as URLs.
        file = stack.enter_context(open(path, "rb"))
        try:
            container = stack.enter_context(av.open(file, options=options))
        except av.ArgumentError:
            raise ValueError(
                f"its format is none of the known ones: {_CONTAINERS.replace(',', ' ')}"
            ) from None
        if not container.streams.video:
            raise ValueError("the file contains no video")
        stream = container.streams.video[0]
        decoding.check_size((stream.width, stream.height))
        if container.format.name == "avi":  # AVI files have no timestamps
            yield from _numbered(container, stream, choose)
        else:
            yield from _timed(container, stream, choose)


def _numbered(container: Any, stream: Any, choose: Choice) -> Iterator[Image.Image]:
    """Yields the chosen frames of a video without timestamps, by their numbers.

    Args:
      container: the opened video file of PyAV.
      stream: the video stream in the file.
      choose: see `frames`.
    """
    held = max(1, _HELD // max(1, stream.width * stream.height))
    decoded = container.decode(stream)
    first = list(itertools.islice(decoded, held))
    if not first:
        raise ValueError("none of its frames can be decoded")
    count = len(first) + sum(1 for _ in decoded)
    wanted = choose(count)
    numbered = enumerate(first)
    if count > len(first):
        container.seek(0)
        numbered = enumerate(container.decode(stream))
    found = {i: frame for i, frame in numbered if i in wanted}
    for i in wanted:
        yield _upright(found[i])


def _timed(container: Any, stream: Any, choose: Choice) -> Iterator[Image.Image]:
    """Yields the chosen frames of a video by their timestamps.

    Args:
      container: the opened video file of PyAV.
      stream: the video stream in the file.
      choose: see `frames`.
    """
    packets = (p for p in container.demux(stream) if p.size)
    # A packet may have no frame of its own; then the frame before it stays visible.
    times = sorted({p.pts for p in packets if p.pts is not None})
    if not times:
        raise ValueError("its frames have no timestamps")
    moments = [times[i] for i in choose(len(times))]
    container.seek(moments[0], stream=stream)  # to a key frame
    found, shown = 0, None
    for frame in container.decode(stream):
        while found < len(moments) and moments[found] < frame.pts:
            yield _upright(shown or frame)
            found += 1
        if found == len(moments):
            return
        shown = frame
    if shown is None:
        raise ValueError("none of its frames can be decoded")
    for _ in moments[found:]:
        yield _upright(shown)


def _upright(frame: Any) -> Image.Image:
    """Returns a decoded frame of PyAV as an upright picture.

    Phones do not rotate the pixels of a video. They store the angle of the rotation in
    the file.
    """
    picture = frame.to_image()
    turned = frame.rotation % 360
    return picture.rotate(turned, expand=True) if turned else picture


_UNKNOWN = "the file is neither an animation nor a video"


def _blamed(path: Path) -> AbstractContextManager[None]:
    return decoding.blamed(f"clip {path}", _UNKNOWN)


def _opened(path: Path) -> AbstractContextManager[Image.Image]:
    return decoding.opened(path, f"clip {path}", _UNKNOWN)


def _is_animated(picture: Image.Image) -> bool:
    if picture.format not in ("GIF", "PNG", "WEBP"):
        return False
    return getattr(picture, "is_animated", False)


def clips_in(folder: Path) -> Iterator[Path]:
    """Yields the paths of the clips in a folder, sorted by name.

    A clip is a file, or a folder of frames.
    """
    of_frames = (path for path in folders(folder) if any(PICTURES.found(path)))
    yield from sorted([*visible_files(folder, ANIMATED + VIDEOS), *of_frames])


def is_clip(folder: Path) -> bool:
    """Returns whether a folder is one clip, with pictures that are its frames.

    A folder of animated pictures is not a clip: each animated picture is a clip.
    """
    first = next(iter(PICTURES.found(folder)), None)
    if first is None:
        return False
    with _opened(first) as picture:
        return not _is_animated(picture)


def identity(clip: Path) -> tuple:
    """Returns the identity of a clip on the disk.

    Two paths to the same clip have equal identities. The identity of a folder consists
    of the identities of its first and last frame and the number of frames. So a folder
    of links to the frames of a clip has the identity of this clip.
    """
    frames = list(PICTURES.found(clip)) if clip.is_dir() else [clip]
    return walk.identity(frames[0]), walk.identity(frames[-1]), len(frames)


CLIPS = Kind(
    "clips",
    "folders of frames, or " + " ".join(sorted(s[1:] for s in ANIMATED + VIDEOS)),
    clips_in,
    is_clip,
    identity,
)
