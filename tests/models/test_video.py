import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.analysis.costs import layer_table
from cnn_jax.core.errors import UserError
from cnn_jax.models.classifier import HEADS

CLIP = (16, 112, 112, 3)
RESIDUAL = ("r2d_18", "r3d_18", "mc3_18", "r2plus1d_18")
NAMES = (*RESIDUAL, "c3d")
THIN = {"width": 4, "stage_sizes": (1, 1, 1, 1)}


def shapes_of(model, shape):
    """Shapes of logits and variables for two examples."""
    return jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, False),
        jax.ShapeDtypeStruct((2, *shape), jnp.float32),
    )


def features_of(model, variables, x):
    return np.array(jax.jit(lambda x: models.features(model, variables, x))(x))


@pytest.mark.parametrize(
    ("name", "num_classes", "parameters", "gmacs", "depths"),
    [
        # torchvision's table of weights, on Kinetics-400; frames behind the stem and
        # the four stages.
        ("r3d_18", 400, 33_371_472, 40.697, (16, 16, 8, 4, 2)),
        # No one has published a count: the kernels are ResNet-18's, of 11,689,512
        # parameters with 1000 classes; and the stem's map is not pooled.
        pytest.param(
            "r2d_18",
            400,
            11_689_512 - 600 * 513,
            27.601,
            (16, 16, 16, 16, 16),
            marks=pytest.mark.full,
        ),
        pytest.param(
            "mc3_18",
            400,
            11_695_440,
            43.343,
            (16, 16, 16, 16, 16),
            marks=pytest.mark.full,
        ),
        pytest.param(
            "r2plus1d_18",
            400,
            31_505_325,
            40.519,
            (16, 16, 8, 4, 2),
            marks=pytest.mark.full,
        ),
    ],
)
def test_residual_networks(name, num_classes, parameters, gmacs, depths):
    model = models.create(name, num_classes=num_classes)
    table = layer_table(model, CLIP)
    assert sum(row.parameters for row in table) == parameters
    macs = sum(row.macs for row in table)
    assert macs / 1e9 == pytest.approx(gmacs, rel=1e-4)
    rows = {row.name: row.output_shape for row in table}
    found = [rows["stem/norm"]]
    found += [rows[f"stage{stage}_block2/norm2"] for stage in (1, 2, 3, 4)]
    sizes, channels = (56, 56, 28, 14, 7), (64, 64, 128, 256, 512)
    assert found == [
        (depth, size, size, c)
        for depth, size, c in zip(depths, sizes, channels, strict=True)
    ]


def test_c3d():
    # Tran et al. 2015 on Sports-1M. The multiply-accumulates of each stage are those
    # of the kernels, 27 c_in c_out, at each place of its maps.
    table = layer_table(models.create("c3d", num_classes=487), CLIP)
    assert sum(row.parameters for row in table) == 79_991_015
    kernels = {
        16 * 112**2: 3 * 64,
        16 * 56**2: 64 * 128,
        8 * 28**2: 128 * 256 + 256**2,
        4 * 14**2: 256 * 512 + 512**2,
        2 * 7**2: 2 * 512**2,
    }
    convolutions = 27 * sum(places * channels for places, channels in kernels.items())
    dense = 8192 * 4096 + 4096**2 + 4096 * 487
    assert sum(row.macs for row in table) == convolutions + dense
    rows = {row.name: row.output_shape for row in table}
    assert [rows[f"pool{i}"] for i in (1, 2, 3, 4, 5)] == [
        (16, 56, 56, 64),
        (8, 28, 28, 128),
        (4, 14, 14, 256),
        (2, 7, 7, 512),
        (1, 4, 4, 512),
    ]


def test_names():
    def params(name, **attributes):
        model = models.create(name, num_classes=3, **attributes)
        return shapes_of(model, CLIP)[1]["params"]

    blocks = {f"stage{s}_block1" for s in (1, 2, 3, 4)}
    thin = params("r3d_18", **THIN)
    assert thin.keys() == {"stem", *blocks, "head"}
    assert thin["stage1_block1"]["conv1"]["kernel"].shape == (3, 3, 3, 4, 4)
    thin = params("mc3_18", **THIN)
    assert thin["stage1_block1"]["conv1"]["kernel"].shape == (3, 3, 3, 4, 4)
    assert thin["stage2_block1"]["conv1"]["kernel"].shape == (1, 3, 3, 4, 8)
    thin = params("r2plus1d_18", **THIN)
    assert thin["stem"]["conv"]["spatial"]["kernel"].shape == (1, 7, 7, 3, 2)
    block = thin["stage2_block1"]
    assert block["shortcut_conv"].keys() == {"kernel"}
    # 27 * 4 * 8 // (9 * 4 + 3 * 8) channels in between, in both.
    assert block["conv1"]["temporal"]["kernel"].shape == (3, 1, 1, 14, 8)
    assert block["conv2"]["temporal"]["kernel"].shape == (3, 1, 1, 14, 8)
    names = {"conv1", "conv2", *(f"conv{i}{j}" for i in (3, 4, 5) for j in "ab")}
    assert params("c3d", width=4).keys() == names | {"fc1", "fc2", "head"}


@pytest.mark.parametrize(
    ("name", "attributes", "natural", "output_stride", "depth_strides", "clip"),
    [
        pytest.param(
            "r3d_18",
            {"stage_sizes": (1, 2)},
            4,
            1,
            (2, 1),
            (3, 11, 11, 1),
            marks=pytest.mark.full,
        ),
        pytest.param(
            "mc3_18",
            {"stage_sizes": (1, 1)},
            4,
            2,
            (1, 1),
            (3, 11, 11, 1),
            marks=pytest.mark.full,
        ),
        pytest.param(
            "r2plus1d_18",
            {"stage_sizes": (1, 1)},
            4,
            2,
            (2, 1),
            (3, 11, 11, 1),
            marks=pytest.mark.full,
        ),
        ("c3d", {"stem": "small"}, 8, 2, (8, 2), (8, 16, 16, 1)),
    ],
)
def test_dilated_network_equals_the_strided_one_sampled(
    name, attributes, natural, output_stride, depth_strides, clip, random_variables
):
    if "stage_sizes" in attributes:
        convs = dict(models.attributes(name))["stage_convs"][1][:2]
        attributes = {**attributes, "stage_convs": convs}
    plain = models.create(name, num_classes=3, width=2, head="gap", **attributes)
    dilating = plain.clone(output_stride=output_stride)
    variables = random_variables(plain, clip)
    x = jax.random.normal(jax.random.key(0), (1, *clip))
    strided = features_of(plain, variables, x)
    dilated = features_of(dilating, variables, x)
    if name != "c3d":  # whose last pooling adds a row at each end
        for maps, size in ((strided, natural), (dilated, output_stride)):
            assert maps.shape[2:4] == (-(-11 // size),) * 2
    for maps, stride in zip((strided, dilated), depth_strides, strict=True):
        assert maps.shape[1] == -(-clip[0] // stride)
    every = natural // output_stride
    time = depth_strides[0] // depth_strides[1]
    sampled = dilated[:, ::time, ::every, ::every]
    scale = np.abs(strided).max()
    assert scale > 0
    np.testing.assert_allclose(sampled, strided, atol=1e-5 * scale)


@pytest.mark.parametrize("name", ["mc3_18", "c3d"])
def test_an_image_is_a_still_clip(name, random_variables):
    attributes = {"stage_sizes": (1,), "stage_convs": ("3d",)}
    attributes |= {"width": 2} if name == "mc3_18" else {}
    if name == "c3d":
        attributes = {"width": 1, "head": "gap"}
    model = models.create(name, num_classes=3, stem="small", frames=8, **attributes)
    variables = random_variables(model, (8, 8, 1))
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
    clips = jnp.stack([images] * 8, axis=1)
    apply = jax.jit(lambda x: model.apply(variables, x, False))
    np.testing.assert_allclose(apply(images), apply(clips), rtol=1e-5)
    moving = apply(clips.at[:, 3].set(0))
    assert np.all(np.abs(moving - apply(clips)) > 1e-6)


@pytest.mark.full
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", NAMES)
def test_heads_on_small_images(name, head, head_shapes):
    model = models.create(name, num_classes=7, head=head, stem="small", width=4)
    outputs, _ = shapes_of(model, (8, 8, 1))
    assert jax.tree.map(jnp.shape, outputs) == head_shapes(head, (8, 8))
    outputs, _ = shapes_of(model, (5, 9, 8, 1))  # and on clips
    assert jax.tree.map(jnp.shape, outputs) == head_shapes(head, (5, 9, 8))


@pytest.mark.full
def test_r2d_is_resnet_on_frames(random_variables):
    """Each frame's map is that of the frame alone, and the order is of no matter."""
    model = models.create("r2d_18", num_classes=3, **THIN)
    clip = (4, 24, 20, 1)
    variables = random_variables(model, clip)
    x = jax.random.normal(jax.random.key(0), (2, *clip))
    maps = features_of(model, variables, x)
    assert maps.shape[:2] == (2, 4)
    for t in range(4):
        alone = features_of(model, variables, x[:, t : t + 1])
        np.testing.assert_allclose(maps[:, t : t + 1], alone, rtol=1e-4, atol=1e-4)
    apply = jax.jit(lambda x: model.apply(variables, x, False))
    np.testing.assert_allclose(apply(x), apply(x[:, ::-1]), rtol=1e-4)
    for name in ("r3d_18", "mc3_18", "r2plus1d_18"):
        other = models.create(name, num_classes=3, **THIN)
        variables = random_variables(other, clip)
        apply = jax.jit(lambda x, m=other, v=variables: m.apply(v, x, False))
        assert np.abs(apply(x) - apply(x[:, ::-1])).max() > 1e-3


def test_r2d_has_the_parameters_of_resnet():
    video = shapes_of(models.create("r2d_18", num_classes=3, width=4), CLIP)[1]
    image = shapes_of(models.create("resnet18", num_classes=3, width=4), CLIP[1:])[1]
    ours, theirs = video["params"], image["params"]
    assert ours.keys() == theirs.keys()

    def without_time(leaf):
        shape = leaf.shape
        return shape[1:] if len(shape) == 5 and shape[0] == 1 else shape

    assert jax.tree.map(without_time, ours) == jax.tree.map(lambda x: x.shape, theirs)


def test_a_still_clips_pixels_are_its_images(random_variables):
    """With a row of logits per pixel, those of the frames are averaged."""
    model = models.create("r3d_18", num_classes=3, head="fcn", stem="small", **THIN)
    image = (16, 12, 1)
    variables = random_variables(model, image)
    x = jax.random.normal(jax.random.key(0), (1, *image))
    of_image = jax.jit(lambda x: model.apply(variables, x, False))(x)
    clip = jnp.broadcast_to(x[:, None], (1, 16, *image))
    maps = features_of(model, variables, clip).mean(1)
    head = variables["params"]["head"]
    scores = maps @ head["kernel"][0, 0, 0] + head["bias"]
    expected = jax.image.resize(scores, (1, 16, 12, 3), "bilinear")
    np.testing.assert_allclose(of_image, expected, rtol=1e-4, atol=1e-4)


def test_clips_have_a_length_of_their_own():
    model = models.create("r3d_18", num_classes=3, frames=4, **THIN)
    assert shapes_of(model, (8, 8, 1))[0].shape == (2, 3)
    assert shapes_of(model, (4, 8, 8, 1))[0].shape == (2, 3)
    with pytest.raises(UserError, match=r"frames=4 .* these clips have 5"):
        shapes_of(model, (5, 8, 8, 1))


def test_head_grid_of_clips():
    model = models.create("c3d", num_classes=7, head_grid=2, width=4)
    _, variables = shapes_of(model, CLIP)
    assert variables["params"]["fc1"]["kernel"].shape[0] == 2**3 * 32
    assert variables == shapes_of(model, (16, 128, 171, 3))[1]


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("r3d_18", {"stem": "cifar"}, "stem 'cifar'"),
        ("r3d_18", {"stage_convs": ("4d",)}, "convolution in stage_convs '4d'"),
        ("r3d_18", {"stage_sizes": (1, 1)}, "one for each stage"),
        ("mc3_18", {"frames": 0}, "frames=0 must be at least 1"),
        ("c3d", {"width": 0}, "width=0 must be at least 1"),
        ("c3d", {"output_stride": 64}, "stride is 32"),
        ("r3d_18", {"output_stride": 3}, "one of 1, 2, 4, 8, 16 .*stride is 16"),
    ],
)
def test_impossible_values(name, attributes, message):
    with pytest.raises(UserError, match=message):
        models.create(name, num_classes=10, **attributes)


def test_neither_clips_nor_images():
    model = models.create("c3d", num_classes=3)
    with pytest.raises(UserError, match=r"neither clips .* nor images"):
        shapes_of(model, (3,))


@pytest.mark.parametrize("output_stride", [None, 8])
def test_c3d_keeps_a_single_frame(output_stride):
    model = models.create("c3d", num_classes=3, width=2, output_stride=output_stride)
    still = shapes_of(model.clone(frames=1), (112, 112, 3))
    assert still == shapes_of(model, (1, 112, 112, 3))
    fewer = shapes_of(model, (3, 112, 112, 3))
    assert fewer[0].shape == still[0].shape
    if output_stride is None:  # a frame is left of each, and the 4x4 map of 16
        assert still == fewer == shapes_of(model, CLIP)
