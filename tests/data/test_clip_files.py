"""Frames of clips, as they were written."""

import os
import struct
import sys

import numpy as np
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from cnn_jax.core.errors import UserError
from cnn_jax.data import clip_files
from cnn_jax.data.walk import below

COUNT = 12
# Of frame t: 20 * t, left of a white bar.
FRAMES = np.full((COUNT, 16, 24, 3), 255, np.uint8)
FRAMES[:, :, :12] = 20 * np.arange(COUNT, dtype=np.uint8)[:, None, None, None]


def everything(count):
    return range(count)


def times(frames):
    """Which frames these are, by their left sides."""
    return [round(np.asarray(f.convert("L"))[2:-2, 2:9].mean() / 20) for f in frames]


@pytest.fixture
def animated(tmp_path):
    def write(name, frames=FRAMES, **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        first, *rest = map(Image.fromarray, frames)
        first.save(path, save_all=True, append_images=rest, duration=40, **options)
        return path

    return write


@pytest.fixture
def filmed(tmp_path):
    av = pytest.importorskip("av")

    def write(name, codec, frames=FRAMES, pixels="yuv420p", between=None, **options):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(codec, rate=25, options=options)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = pixels
            if between:  # frames that need those behind them, too
                stream.codec_context.max_b_frames = between
            for frame in frames:
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", ["a.gif", "a.WebP", "a.png", "a.apng"])
def test_animated_pictures(name, animated):
    options = {"lossless": True} if name.lower().endswith("webp") else {}
    path = animated(name, **options)
    found = clip_files.frames(path, everything)
    np.testing.assert_array_equal([f.convert("RGB") for f in found], FRAMES)
    assert times(clip_files.frames(path, lambda count: [3, 3, count - 2])) == [3, 3, 10]


def test_folders_of_frames_are_in_the_order_of_their_numbers(tmp_path):
    for t, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(tmp_path / f"frame{t}.png")
    (tmp_path / "times.txt").write_text("0 40 80")
    assert times(clip_files.frames(tmp_path, everything)) == list(range(COUNT))
    assert times(clip_files.frames(tmp_path, lambda count: [count - 1])) == [11]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"g": "5", "bf": "2"}),  # frames out of order, key frames
        ("a.avi", "mpeg4", {"between": 2}),
        ("b.avi", "libx264", {"between": 2}),
        ("a.AVI", "mjpeg", {"pixels": "yuvj420p"}),
        ("a.mov", "mpeg4", {"g": "4"}),
        ("a.mkv", "mpeg4", {}),
        ("a.webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "8"}),
        ("b.webm", "libvpx-vp9", {}),
    ],
)
def test_video_files(name, codec, options, filmed):
    path = filmed(name, codec, **options)
    assert times(clip_files.frames(path, everything)) == list(range(COUNT))
    for wanted in ([0], [7, 9], [4, 4, 5], [11], [2, 6, 10]):
        assert times(clip_files.frames(path, lambda _, w=wanted: w)) == wanted


def test_videos_of_telephones_are_upright(filmed):
    """Held upright, they write lying frames and how they are to be turned."""
    path = filmed("a.mp4", "mpeg4")
    content = bytearray(path.read_bytes())
    # In the track's header: the matrix, in 16.16, of a quarter turn clockwise.
    place = content.index(b"tkhd") + 4 + 40
    matrix = (0, 1 << 16, 0, -(1 << 16), 0, 0, 16 << 16, 0, 1 << 30)
    content[place : place + 36] = b"".join(m.to_bytes(4, signed=True) for m in matrix)
    path.write_bytes(content)
    (frame,) = clip_files.frames(path, lambda _: [6])
    assert frame.size == (16, 24)
    # What was left is up.
    gray = np.asarray(frame.convert("L"))
    assert abs(gray[2:9].mean() - 120) < 10 and gray[15:].mean() > 245


def test_which_paths_are_clips(animated, write, tmp_path):
    animated("kinds/b.gif"), animated("kinds/a.PNG")
    for name in ("c/0.png", "c/1.png", ".d/0.png", "e/notes/0.png"):
        write(tmp_path / "kinds" / name)
    (tmp_path / "kinds" / "f.mp4").touch()
    (tmp_path / "kinds" / "f.txt").touch()
    kinds = tmp_path / "kinds"
    names = ["a.PNG", "b.gif", "c", "f.mp4"]
    assert list(clip_files.clips_in(kinds)) == [kinds / name for name in names]
    assert below(kinds, clip_files.CLIPS) == [
        *(kinds / name for name in names),
        kinds / "e/notes",
    ]
    assert below(kinds / "c", clip_files.CLIPS) == [kinds / "c"]
    assert below(kinds / "f.mp4", clip_files.CLIPS) == [kinds / "f.mp4"]


def test_mistakes_are_one_line(animated, write, tmp_path, monkeypatch):
    write(tmp_path / "sizes/0.png", size=(8, 8))
    write(tmp_path / "sizes/1.png", size=(9, 8))
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.mp4").write_bytes(b"no video")
    (tmp_path / "a.gif").write_bytes(b"no picture")
    whole = animated("b.gif").read_bytes()
    (tmp_path / "b.gif").write_bytes(whole[: len(whole) // 2])
    write(tmp_path / "still.png")
    mistakes = {
        "nothing.gif": "there is no such file",
        "empty": "a folder without pictures",
        "sizes": "several sizes, 8x8 and 9x8",
        "a.gif": "neither an animation nor a video",
        "b.gif": "cannot be read",
        "still.png": "a still picture: put the frames of a clip in a folder",
    }
    if "av" in sys.modules or pytest.importorskip("av"):
        mistakes["a.mp4"] = "cannot be read: Invalid data found"
    for name, message in mistakes.items():
        with pytest.raises(UserError, match=message) as error:
            clip_files.frames(tmp_path / name, everything)
        assert str(tmp_path / name) in str(error.value)
        assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"a\.mp4 needs the package av, which is not"):
        clip_files.frames(tmp_path / "a.mp4", everything)


@pytest.mark.parametrize(("count", "side"), [(2**15 + 1, 4), (300, 9000)])
def test_animations_without_end(count, side, tmp_path, monkeypatch):
    """Pillow does not count the frames."""
    monkeypatch.setattr(GifImageFile, "n_frames", None)
    header = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
    extension = b"!\xfe\x02ab\x00"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    (tmp_path / "a.gif").write_bytes(header + extension + frame * count + b";")
    most = min(2**15, 2**34 // side**2)
    with pytest.raises(UserError, match=f"it has more than {most} frames"):
        clip_files.frames(tmp_path / "a.gif", everything)


def test_frames_that_grow(tmp_path):
    header = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + bytes(6)
    content = header
    for side in (1, 1, 60000):
        box = struct.pack("<HHHHB", 0, 0, side, side, 0)
        content += b"\x2c" + box + b"\x02\x02\x44\x01\x00"
    (tmp_path / "a.gif").write_bytes(content + b";")
    with pytest.raises(UserError, match="it has more than 134217728 pixels"):
        clip_files.frames(tmp_path / "a.gif", everything)


@pytest.mark.parametrize(
    "content",
    [
        "ffconcat version 1.0\nfile other.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nother.mp4\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 5004 RTP/AVP 96\n",
    ],
)
def test_a_video_opens_no_other_file(content, filmed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    filmed("other.mp4", "mpeg4")
    (tmp_path / "a.mp4").write_text(content)
    with pytest.raises(UserError, match=r"a\.mp4 cannot be read: (its|Invalid)"):
        clip_files.frames("a.mp4", everything)


def test_names_that_look_like_addresses(filmed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    filmed("concat:a|b.mp4", "mpeg4")
    assert len(clip_files.frames("concat:a|b.mp4", everything)) == COUNT


def test_long_videos_without_times_are_decoded_twice(filmed, monkeypatch):
    path = filmed("a.avi", "mpeg4", between=2)
    whole = clip_files.frames(path, everything)
    monkeypatch.setattr(clip_files, "_HELD", 1000)
    for wanted in ([0], [4, 4, 11], range(COUNT)):
        found = clip_files.frames(path, lambda _, w=wanted: w)
        assert found == [whole[i] for i in wanted]


def test_frames_are_in_memory_one_at_a_time(tmp_path):
    for t, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(tmp_path / f"{t}.png")
    one = next(clip_files.each_frame(tmp_path, everything))
    np.testing.assert_array_equal(one, FRAMES[0])


def test_what_is_no_file(tmp_path):
    for name in ("a.gif", "a.mp4"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(UserError, match="it is not a regular file"):
            clip_files.frames(tmp_path / name, everything)
