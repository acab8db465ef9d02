"""metrics.jsonl: what is taken back, and what is said of damage."""

import json
from pathlib import Path

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.training.metrics_log import MetricsLog, read, rewind

LINES = [json.dumps({"step": step, "loss": 1.5}) + "\n" for step in (1, 3, 5, 3)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def test_rewinding_drops_later_and_half_written_lines(path, tmp_path):
    path.write_text("".join(LINES))
    left, complaint = rewind(path, 4)
    assert path.read_text() == LINES[0] + LINES[1] + LINES[3] == left.decode()
    assert complaint is None
    for cut in range(1, len(LINES[0])):
        path.write_text(LINES[0] + LINES[1][:cut])
        assert rewind(path, 4) == (LINES[0].encode(), None)
        assert path.read_text() == LINES[0]
    rewind(path, 0)
    assert path.read_text() == ""
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]
    assert rewind(tmp_path / "none.jsonl", 3) == (b"", None)
    assert not (tmp_path / "none.jsonl").exists()


BAD = [
    b'{"step": 2, "lo\n',
    b'{"step": 2, "loss": "\xff"}\n',
    b"[2]\n",
    b"2\n",
    b'{"step": "2"}\n',
    b'{"loss": 2}\n',
    b"[" * 100_000 + b"\n",
    b"9" * 10_000 + b"\n",
    b"\0\0\0\n",
    b"\n",
]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_line_does_not_stop_a_run(bad, path):
    path.write_bytes(LINES[0].encode() + bad + LINES[1].encode())
    left, complaint = rewind(path, 4)
    assert left == path.read_bytes() == (LINES[0] + LINES[1]).encode()
    assert complaint == (
        f"{path} differs from what the run wrote: "
        "1 line cannot be read and will be removed."
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_named(path, monkeypatch):
    log = MetricsLog(path.parent, 0, None)
    with Path("/dev/full").open("a", buffering=1) as full:
        monkeypatch.setattr(log, "_file", full)
        words = r"cannot write .*metrics.jsonl: No space left"
        for call in (lambda: log.write(LINES[0]), log.flush, log.close):
            with pytest.raises(UserError, match=words):
                call()


@pytest.fixture
def mark(path):
    log = MetricsLog(path.parent, 0, None)
    for line in LINES[:2]:
        log.write(line.strip())
    log.close()
    return log.mark()


def test_what_follows_the_checkpoint_is_taken_back_in_silence(path, mark):
    for rest in ("", LINES[2], LINES[2][:9], "{\n" + LINES[2]):
        path.write_text("".join(LINES[:2]) + rest)
        log = MetricsLog(path.parent, 4, mark)
        log.close()
        assert log.complaint is None and log.mark() == mark
        assert path.read_text() == "".join(LINES[:2])


def test_every_flipped_bit_is_noticed_as_a_run_goes_on(path, mark):
    whole = path.read_bytes()
    for place in range(0, 8 * len(whole), 3):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        left, complaint = rewind(path, 4, mark)
        assert complaint.startswith(f"{path} differs from what the run wrote: ")
        assert all(json.loads(line)["step"] <= 4 for line in left.splitlines())
    path.unlink()
    assert rewind(path, 4, mark)[1]


def test_marks_go_on(path, mark):
    log = MetricsLog(path.parent, 2, None)
    log.write(LINES[1].strip())
    log.flush()
    assert log.mark() == mark
    log.write('{"step": 5, "name": "\u00e9"}')
    log.close()
    rows, complaint = read(path.parent, f"{log.mark()['crc32']:08x}")
    assert [row["step"] for row in rows] == [1, 3, 5] and complaint is None
    assert log.mark()["bytes"] == path.stat().st_size


def test_reading(path, mark):
    crc = f"{mark['crc32']:08x}"
    rows, complaint = read(path.parent, crc)
    assert [row["step"] for row in rows] == [1, 3] and complaint is None
    path.write_text("".join(LINES[:2]).replace("1.5", "1.6"))
    assert "its checksum is wrong" in read(path.parent, crc)[1]
    assert read(path.parent)[1] is None
    path.write_bytes(b"\xff\n" + LINES[1].encode())
    rows, complaint = read(path.parent, crc)
    assert len(rows) == 1 and "1 of 2 lines cannot be read" in complaint
    path.unlink()
    assert read(path.parent) == ([], f"{path} is missing.")
    path.mkdir()
    with pytest.raises(UserError, match="not a regular file"):
        read(path.parent)
