"""Volumes, as they were written."""

import gzip
import struct
import sys
import zipfile

import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data import load, volumes


def ramp(depth, height, width):
    """Each voxel tells its place: 4 * (16 * z + 4 * y + x)."""
    z, y, x = np.meshgrid(*map(np.arange, (depth, height, width)), indexing="ij")
    return 64 * z + 16 * y + 4 * x


def test_kinds_of_files_hold_the_same(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    voxels = ramp(3, 4, 4).astype(np.int16)
    np.save(tmp_path / "a.npy", voxels)
    np.savez_compressed(tmp_path / "a.npz", voxels)
    # Axes to the right, to the front and up; and the same turned and mirrored.
    straight = nibabel.Nifti1Image(voxels.swapaxes(0, 2), np.diag([1, 1, 2, 1]))
    straight.to_filename(tmp_path / "a.nii")
    turned = np.zeros((4, 4))
    turned[[0, 1, 2, 3], [1, 0, 2, 3]] = -1, 1, 2, 1
    turned[0, 3] = 3
    array = voxels.swapaxes(0, 2)[::-1].swapaxes(0, 1)[..., None]
    nibabel.Nifti1Image(array, turned).to_filename(tmp_path / "a.nii.gz")
    for name in ("a.npy", "a.npz", "a.nii", "a.nii.gz"):
        found, spacing = volumes.read(tmp_path / name)
        np.testing.assert_array_equal(found, voxels, err_msg=name)
        assert spacing == ((2, 1, 1) if "nii" in name else (1, 1, 1))


def test_windows(tmp_path):
    voxels = np.linspace(-1000, 1000, 8**3).reshape(8, 8, 8).astype(np.float32)
    voxels[0, 0, 0], voxels[7, 7, 7] = 1e6, np.nan
    np.save(tmp_path / "a.npy", voxels)

    def fit(*window):
        return volumes.fit(tmp_path / "a.npy", (8, 8, 8, 1), window=window)[..., 0]

    found = fit(-500.0, 500.0)
    assert found[0, 0, 0] == 255 and found[7, 7, 7] == 0  # beyond it, and none at all
    exact = (np.clip(voxels, -500, 500) + 500) * (255 / 1000)
    inner = np.s_[0, 0, 1:], np.s_[3:5], np.s_[7, :7]
    for place in inner:
        assert np.abs(found[place] - exact[place]).max() <= 0.5 + 1e-3
    low, high = np.percentile(voxels[np.isfinite(voxels)], [0.5, 99.5])
    np.testing.assert_array_equal(fit(), fit(float(low), float(high)))
    np.save(tmp_path / "a.npy", np.full((8, 8, 8), 7))
    assert not fit().any()


def test_volumes_are_cut_and_resampled_as_pictures_are(tmp_path):
    """Means of blocks, inside of the largest centered box of the wanted shape."""
    rng = np.random.default_rng(0)
    voxels = np.kron(rng.integers(0, 256, (4, 4, 4)), np.ones((2, 3, 3)))
    wide = np.pad(voxels, [(0, 0), (0, 0), (5, 5)])
    np.save(tmp_path / "a.npy", wide)
    shape = (8, 12, 12, 1)
    found = volumes.fit(tmp_path / "a.npy", shape, window=(0.0, 255.0))[..., 0]
    np.testing.assert_array_equal(found, voxels)
    halved = volumes.fit(tmp_path / "a.npy", (4, 6, 6, 1), window=(0.0, 255.0))[..., 0]
    blocks = wide[:, :, 5:-5].reshape(4, 2, 6, 2, 6, 2).mean((1, 3, 5))
    assert np.corrcoef(halved.ravel(), blocks.ravel())[0, 1] > 0.95
    inner = volumes.fit(tmp_path / "a.npy", (4, 6, 6, 1), 0.5, window=(0.0, 255.0))
    np.testing.assert_array_equal(inner[..., 0], voxels[2:6, 3:9, 3:9])


def test_distances_of_slices_count(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    voxels = ramp(2, 4, 4).astype(np.float32)
    image = nibabel.Nifti1Image(voxels.swapaxes(0, 2), np.diag([1, 1, 2, 1]))
    image.to_filename(tmp_path / "a.nii")  # a cube of 4 mm
    cube = volumes.fit(tmp_path / "a.nii", (4, 4, 4, 1), window=(0.0, 255.0))[..., 0]
    np.testing.assert_array_equal(cube[[0, 3]], voxels)
    # The middle half of the cube: from the one slice to the other.
    inner = volumes.fit(tmp_path / "a.nii", (2, 4, 4, 1), window=(0.0, 255.0))[..., 0]
    np.testing.assert_array_equal(inner, [voxels[0] + 16, voxels[1] - 16])


@pytest.fixture
def bodies(tmp_path):
    """dir/<class>/*: ten balls, and ten shells."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, 12)] * 3, indexing="ij")
    radius, rng = np.sqrt(z**2 + y**2 + x**2), np.random.default_rng(0)
    for name, inner in (("ball", 0.0), ("shell", 0.5)):
        (tmp_path / name).mkdir()
        for i in range(10):
            body = (radius >= inner) & (radius < rng.uniform(0.7, 0.9))
            voxels = body + rng.normal(0, 0.1, body.shape)
            np.save(tmp_path / name / f"{i}.npy", voxels.astype(np.float32))
    return tmp_path


def test_class_folders_are_split(bodies):
    options = {"dir": str(bodies), "image_size": (6, 8, 8)}
    dataset = load("volumes", **options)
    assert dataset.classes == ("ball", "shell")
    assert dataset.image_shape == (6, 8, 8, 1) and len(dataset.mean) == 1
    counts = {r: np.bincount(s.labels).tolist() for r, s in dataset.splits.items()}
    assert counts == {"train": [8, 8], "test": [2, 2]}
    stored = load("volumes", **options, in_memory=False).splits["test"]
    for i, image in enumerate(dataset.splits["test"].images):
        np.testing.assert_array_equal(stored.example(i, None)["image"], image)
    few = load("volumes", **options, train_examples=4)
    assert np.bincount(few.splits["train"].labels).tolist() == [2, 2]


def test_mistakes_are_one_line(bodies, monkeypatch):
    np.save(bodies / "flat.npy", np.zeros((4, 4)))
    np.save(bodies / "text.npy", np.array(["a"]))
    np.save(bodies / "objects.npy", np.array([None]))
    np.save(bodies / "none.npy", np.full((2, 2, 2), np.nan))
    np.savez(bodies / "two.npz", np.zeros(1), np.zeros(1))
    (bodies / "a.npy").write_bytes(b"no array")
    mistakes = {
        "nothing.npy": "there is no such file",
        "flat.npy": r"its shape is \(4, 4\), not \(depth, height, width\)",
        "text.npy": "it holds values of type <U1",
        "objects.npy": "cannot be read",
        "none.npy": "has no finite value",
        "two.npz": "it holds 2 arrays, but it must hold one array",
        "a.npy": "cannot be read",
    }
    try:
        import nibabel  # noqa: F401
    except ImportError:
        pass
    else:
        (bodies / "a.nii").write_bytes(b"no scan")
        mistakes["a.nii"] = "cannot be read"
    for name, message in mistakes.items():
        with pytest.raises(UserError, match=message) as error:
            volumes.fit(bodies / name, (4, 4, 4, 1))
        assert str(bodies / name) in str(error.value)
        assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(UserError, match=r"needs the package nibabel, which is not"):
        volumes.fit(bodies / "a.nii", (4, 4, 4, 1))
    for options, message in (
        ({"image_size": (4, 4)}, r"image_size is \(4, 4\)"),
        (
            {"window": (3.0, 1.0)},
            r"window is \(3.0, 1.0\); it must be two numbers, \(low",
        ),
        ({"dir": str(bodies / "ball")}, "not directly into"),
    ):
        with pytest.raises(UserError, match=message):
            load("volumes", **{"dir": str(bodies)} | options)


@pytest.mark.parametrize("side", [29, 58, 116])
def test_sides_that_rounding_puts_outside(side, tmp_path):
    np.save(tmp_path / "a.npy", np.ones((side,) * 3, np.float32))
    assert volumes.fit(tmp_path / "a.npy", (28, 28, 28, 1)).shape == (28, 28, 28, 1)


def test_a_slice_is_no_volume(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    nibabel.Nifti1Image(np.zeros((4, 5)), np.eye(4)).to_filename(tmp_path / "a.nii")
    with pytest.raises(UserError, match=r"a\.nii cannot be read: its shape is \(4, 5"):
        volumes.read(tmp_path / "a.nii")


def header(shape, kind="|u1"):
    """The header of a `.npy` file, without data."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((100000, 100000, 1000), "limit is 268435456 voxels, and 16384 on a side"),
        ((2**32, 2**32, 4), "on a side: make it smaller"),
        ((20000, 1, 1), "on a side: make it smaller"),
        ((-1, 4, 4), r"its shape is \(-1, 4, 4\), not \(depth"),
        ((0, 4, 4), r"its shape is \(0, 4, 4\), not"),
        ((4, 4, 4, 2), r"its shape is \(4, 4, 4, 2\), not"),
    ],
)
def test_sizes_are_refused_by_the_header(shape, message, tmp_path, monkeypatch):
    monkeypatch.setattr(np.lib.format, "read_array", None)
    paths = tmp_path / "a.npy", tmp_path / "a.npz"
    paths[0].write_bytes(header(shape))
    with zipfile.ZipFile(paths[1], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", header(shape) + bytes(10**6))
    for path in paths:
        with pytest.raises(UserError, match=message):
            volumes.fit(path, (4, 4, 4, 1))


def test_damaged_arrays_are_one_line(tmp_path):
    good = header((2, 2, 2)) + bytes(8)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", good)
    packed = (tmp_path / "a.npz").read_bytes()
    broken = [good[:i] for i in range(0, len(good), 5)]
    broken += [good[:i] + b"(" + good[i + 1 :] for i in range(0, len(good) - 8, 5)]
    broken += [packed[:i] for i in range(0, len(packed), 9)]
    broken += [packed[:i] + b"\xff" + packed[i + 1 :] for i in range(0, len(packed), 9)]
    broken += [
        header((2, 2, 2), kind) + bytes(128) for kind in ("|O", "<c16", "<M8[s]")
    ]
    broken += [header("(" * 3000), header("__import__('os')"), b"\x80\x04N."]
    for content in broken:
        (tmp_path / "a.npy").write_bytes(content)
        try:
            volumes.fit(tmp_path / "a.npy", (4, 4, 4, 1))
        except UserError as error:
            assert "\n" not in str(error)


def test_headers_of_nifti(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    nibabel.Nifti1Image(np.ones((4, 5, 6), np.int16), np.eye(4)).to_filename(
        tmp_path / "a.nii"
    )
    whole = (tmp_path / "a.nii").read_bytes()

    def refused(message, *extension, **fields):
        changed = nibabel.Nifti1Header(whole[:348])
        for field, value in fields.items():
            changed._structarr[field] = value
        content = changed.binaryblock + (b"".join(extension) or whole[348:])
        (tmp_path / "b.nii").write_bytes(content)
        (tmp_path / "b.nii.gz").write_bytes(gzip.compress(content))
        for name in ("b.nii", "b.nii.gz"):
            with pytest.raises(UserError, match=message) as error:
                volumes.fit(tmp_path / name, (4, 4, 4, 1))
            assert name in str(error.value) and "\n" not in str(error.value)

    refused("on a side: make it smaller", dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
    refused(r"its shape is \(-4, 5, 6\)", dim=[3, -4, 5, 6, 1, 1, 1, 1])
    refused(r"its shape is \(4, 5, 6, 3\)", dim=[4, 4, 5, 6, 3, 1, 1, 1])
    refused("the voxels cannot begin at byte 1000", vox_offset=1e30)
    refused("cannot be read", vox_offset=-1000)
    refused("cannot be read", vox_offset=np.nan)
    refused("cannot be read", datatype=9999)
    refused("values of type", datatype=128, bitpix=24)
    refused("cannot be read", srow_x=[np.nan] * 4)
    # An extension that states all of the memory.
    refused("cannot be read", b"\1\0\0\0", struct.pack("<ii", -8, 4), bytes(64))
    (tmp_path / "a.nii").write_bytes(b"\0" * 540)
    with pytest.raises(UserError, match="it has no NIfTI header"):
        volumes.read(tmp_path / "a.nii")


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", ">i4", "f2", "f4", "f8", "?"])
def test_percentiles_are_those_of_float64(kind, tmp_path):
    rng = np.random.default_rng(0)
    for depth in (1, 2, 3, 7, 200, 1001):
        voxels = np.abs(rng.normal(0, 50, (depth, 1, 1))).clip(0, 120).astype(kind)
        exact = np.percentile(voxels.astype(float), volumes.PERCENTILES)
        assert volumes._percentiles(voxels) == tuple(exact)
