"""The frames of a clip as it is stored: a folder of pictures, an animated picture, or a
video file, which PyAV decodes (extra `video`)."""

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
# Pillow draws an animation from its first frame on, to show a later one.
MOST_FRAMES = 2**15
MOST_DRAWN = 2**34  # pixels, of all frames together
TOO_LONG = (
    "it has more than {} frames, which is the most for its size: make it shorter or "
    "smaller, or store it as a video"
)
# Of FFmpeg's formats those of `VIDEOS`. Others are lists of files and of addresses.
_CONTAINERS = "avi,matroska,webm,mov,mp4,mpeg,mpegts,mpegvideo,m4v"
_HELD = 2**26  # pixels of a video without times that are in memory
# Of how many frames there are, the numbers of those that are wanted, ascending.
Choice = Callable[[int], Sequence[int]]


def frames(path: str | Path, choose: Choice) -> list[Image.Image]:
    """The frames that `choose` picks of a clip, upright, in mode "L" or "RGB".

    The frames of a folder are its pictures by name, numbers in it by value: 9 stands
    before 10. Those of a video file are what it shows at the times that it has frames
    for. Durations do not count.

    Raises:
      UserError: with the path, a clip that is missing, damaged, too large, without
        frames or with frames of several sizes, a still picture, and a video file
        without PyAV.
    """
    return list(each_frame(path, choose))


def each_frame(path: str | Path, choose: Choice) -> Iterator[Image.Image]:
    """`frames`, one after the other, so that one at a time is in memory."""
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
                raise ValueError(f"its frames have several sizes, {known}")
            yield frame


def _of_folder(path: Path, choose: Choice) -> Iterator[Image.Image]:
    files = sorted(PICTURES.found(path), key=_in_time)
    if not files:
        raise ValueError("it is a folder without pictures")
    for i in choose(len(files)):
        yield images.read_image(files[i])


def _in_time(frame: Path) -> list[str | int]:
    """The name of a frame, to sort by: text and numbers in turn."""
    parts = re.split(r"(\d+)", frame.name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def _of_picture(path: Path, choose: Choice) -> Iterator[Image.Image]:
    with _opened(path) as picture:
        if not _is_animated(picture):
            raise ValueError(
                "it is a still picture, and the frames of a clip belong in a folder"
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
    """Raises `ValueError` for a GIF of more than `most` frames.

    Pillow counts them ten times as slowly, and to the end.
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
        # FFmpeg would take some names for addresses.
        file = stack.enter_context(open(path, "rb"))
        try:
            container = stack.enter_context(av.open(file, options=options))
        except av.ArgumentError:
            raise ValueError(
                f"its format is none of {_CONTAINERS.replace(',', ' ')}"
            ) from None
        if not container.streams.video:
            raise ValueError("there is no video in it")
        stream = container.streams.video[0]
        decoding.check_size((stream.width, stream.height))
        if container.format.name == "avi":  # which has no times of what is shown
            yield from _numbered(container, stream, choose)
        else:
            yield from _timed(container, stream, choose)


def _numbered(container: Any, stream: Any, choose: Choice) -> Iterator[Image.Image]:
    """The frames of a video by their numbers."""
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
    """The frames of a video by the times at which they are shown."""
    packets = (p for p in container.demux(stream) if p.size)
    # What shows none of its own, a packet may, leaves the one before it in place.
    times = sorted({p.pts for p in packets if p.pts is not None})
    if not times:
        raise ValueError("its frames have no times")
    moments = [times[i] for i in choose(len(times))]
    container.seek(moments[0], stream=stream)  # to a frame that needs no other
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
    """A frame of PyAV, turned as the file says: telephones write it so."""
    picture = frame.to_image()
    turned = frame.rotation % 360
    return picture.rotate(turned, expand=True) if turned else picture


_UNKNOWN = "neither an animation nor a video"


def _blamed(path: Path) -> AbstractContextManager[None]:
    return decoding.blamed(f"clip {path}", _UNKNOWN)


def _opened(path: Path) -> AbstractContextManager[Image.Image]:
    return decoding.opened(path, f"clip {path}", _UNKNOWN)


def _is_animated(picture: Image.Image) -> bool:
    if picture.format not in ("GIF", "PNG", "WEBP"):
        return False
    return getattr(picture, "is_animated", False)


def clips_in(folder: Path) -> Iterator[Path]:
    """The clips in a folder, by name: files of one each, and folders of frames."""
    of_frames = (path for path in folders(folder) if any(PICTURES.found(path)))
    yield from sorted([*visible_files(folder, ANIMATED + VIDEOS), *of_frames])


def is_clip(folder: Path) -> bool:
    """Whether a folder holds the frames of a clip, and not clips."""
    first = next(iter(PICTURES.found(folder)), None)
    if first is None:
        return False
    with _opened(first) as picture:
        return not _is_animated(picture)


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
