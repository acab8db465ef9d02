"""FCOS's targets, losses and detections beside torchvision's and plain loops."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax import models
from cnn_jax.models.fcos import places
from cnn_jax.tasks import anchor_free
from cnn_jax.tasks.average_precision import average_precision

GOLDEN = Path(__file__).parent / "golden"
SIZE = (40, 56)
PLACES = places(SIZE, (4, 8))

assign = jax.jit(lambda labels: anchor_free.assign(labels, PLACES))


def detections(outputs, **options):
    return jax.jit(
        lambda outputs: anchor_free.detections(
            outputs, PLACES, jnp.array(SIZE, jnp.float32), **options
        )
    )(outputs)


spec = importlib.util.spec_from_file_location("make", GOLDEN / "make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)


def arrays(tree):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)


@pytest.fixture(scope="module")
def theirs():
    with np.load(GOLDEN / "fcos.npz") as file:
        return dict(file)


def test_torchvisions_targets(theirs):
    found_places = places(make.SIZE, make.STRIDES)
    np.testing.assert_array_equal(found_places.centers, np.array(make.places())[:, :2])
    labels = make.labels()
    found = jax.jit(jax.vmap(lambda rows: anchor_free.assign(rows, found_places)))(
        labels
    )
    matches = theirs["matches"].astype(int)
    rows = np.take_along_axis(labels, matches.clip(0)[..., None], 1)
    positive = matches >= 0
    assert positive.sum() > 100
    np.testing.assert_array_equal(found.classes, np.where(positive, rows[..., 0], -1))
    boxes = anchor_free.boxes_at(found_places, found.distances)
    np.testing.assert_allclose(boxes[positive], rows[positive][:, 1:], atol=1e-4)
    assert (found.centerness[~positive] == 0).all()


def test_torchvisions_losses(theirs):
    where = places(make.SIZE, make.STRIDES)
    outputs, labels = arrays((make.outputs(), make.labels()))
    found = jax.jit(lambda o, rows: anchor_free.losses(o, rows, where))(outputs, labels)
    assert found.keys() == {"classification", "box", "centerness"}
    for name, value in found.items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-5)


def direct(labels, where, strides=(4, 8)):
    """Section 3.2 of the paper for one image, in words of its own: for each place the
    row of its box, or None."""
    found = []
    for (y, x), stride in zip(where.centers, where.strides, strict=True):
        low = 0 if stride == strides[0] else 8 * stride / 2
        high = np.inf if stride == strides[-1] else 8 * stride
        best = None
        for row, (kind, top, left, bottom, right) in enumerate(labels):
            middle_y, middle_x = (top + bottom) / 2, (left + right) / 2
            # The part of the box near its middle, and not beyond its sides.
            inside = (
                max(top, middle_y - 1.5 * stride)
                < y
                < min(bottom, middle_y + 1.5 * stride)
            ) and (
                max(left, middle_x - 1.5 * stride)
                < x
                < min(right, middle_x + 1.5 * stride)
            )
            farthest = max(y - top, x - left, bottom - y, right - x)
            if kind < 0 or not inside or not low <= farthest <= high:
                continue
            area = (bottom - top) * (right - left)
            if best is None or area < best[0]:
                best = area, row
        found.append(None if best is None else best[1])
    return found


@st.composite
def labels_of_an_image(draw):
    """Six rows of whole pixels, some of which fill up or do not count."""
    rows = []
    for _ in range(6):
        top, bottom = sorted(draw(st.tuples(*[st.integers(0, SIZE[0])] * 2)))
        left, right = sorted(draw(st.tuples(*[st.integers(0, SIZE[1])] * 2)))
        kind = draw(st.sampled_from([0, 1, 2, -1, -2]))
        rows.append((kind, top, left, bottom + 1, right + 1))
    return np.array(rows, np.float32)


@settings(max_examples=60, deadline=None)
@given(labels_of_an_image())
def test_targets_are_those_of_the_paper(labels):
    found = anchor_free.Targets(*map(np.asarray, assign(labels)))
    for place, row in enumerate(direct(labels, PLACES)):
        if row is None:
            assert found.classes[place] == -1 and found.centerness[place] == 0
            continue
        kind, top, left, bottom, right = labels[row]
        y, x = PLACES.centers[place]
        t, l, b, r = distances = y - top, x - left, bottom - y, right - x  # noqa: E741
        assert found.classes[place] == kind
        np.testing.assert_allclose(found.distances[place], distances)
        expected = np.sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b))
        np.testing.assert_allclose(found.centerness[place], expected, rtol=1e-5)


def test_centerness():
    distances = jnp.array([[3.0, 3, 3, 3], [1, 2, 4, 2], [0, 1, 1, 1], [-1, 2, 3, 2]])
    np.testing.assert_allclose(anchor_free.centerness(distances), [1, 0.5, 0, 0])


def case(images=2, classes=3, seed=0):
    """Random outputs for `SIZE`, and labels of whole pixels."""
    rng = np.random.default_rng(seed)
    count = len(PLACES.strides)
    outputs = {
        "logits": rng.normal(0, 2, (images, count, classes)),
        "distances": rng.uniform(0, 30, (images, count, 4)),
        "centerness": rng.normal(0, 1, (images, count)),
    }
    corners = np.sort(rng.uniform(0, 40, (images, 5, 2, 2)), axis=2)
    kinds = rng.integers(0, classes, (images, 5, 1))
    labels = np.concatenate([kinds, corners.reshape(images, 5, 4)], -1)
    return arrays((outputs, labels))


def test_without_focus_it_is_cross_entropy(monkeypatch):
    outputs, labels = case()
    monkeypatch.setattr(anchor_free, "GAMMA", 0.0)
    monkeypatch.setattr(anchor_free, "ALPHA", 0.5)
    found = jax.jit(lambda o: anchor_free.losses(o, labels, PLACES))(outputs)
    classes = np.array(jax.vmap(assign)(labels).classes)
    p = 1 / (1 + np.exp(-np.float64(outputs["logits"])))
    own = classes[..., None] == np.arange(3)
    entropy = -np.where(own, np.log(p), np.log(1 - p)).sum() / (classes >= 0).sum()
    np.testing.assert_allclose(2 * found["classification"], entropy, rtol=1e-5)


def test_images_without_objects():
    """Only the classes are learned; what fills up, or is exempt, is no object."""
    outputs, labels = case()
    empty = labels.at[:, :, 0].set(jnp.array([-1, -2, -3, -4, -1]))

    def total(outputs):
        found = anchor_free.losses(outputs, empty, PLACES)
        return sum(found.values()), found

    grads, found = jax.jit(jax.grad(total, has_aux=True))(outputs)
    assert found["classification"] > 1  # a sum, divided by one
    assert found["box"] == found["centerness"] == 0
    assert (grads["distances"] == 0).all() and (grads["centerness"] == 0).all()
    assert (grads["logits"] > 0).all()


@pytest.mark.parametrize("sides", [(0, 0, 0, 0), (0, 0, 3, 3), (0, 3, 0, 3)])
def test_gradients_of_boxes_without_size(sides):
    """ReLU makes boxes without size. A box that is a point has no gradient, as with
    every loss of two areas."""
    outputs, labels = case()

    def box_loss(distances):
        found = anchor_free.losses(outputs | {"distances": distances}, labels, PLACES)
        return found["box"]

    distances = jnp.zeros_like(outputs["distances"]) + jnp.array(sides)
    gradient = jax.jit(jax.grad(box_loss))(distances)
    assert np.isfinite(gradient).all()
    assert bool(gradient.any()) == any(sides)


def test_outputs_that_are_the_targets_find_every_object():
    rng = np.random.default_rng(3)
    labels = np.full((8, 4, 5), (-1.0, 0, 0, 0, 0), np.float32)
    for image in labels[1:]:  # one corner of the image each
        for row, corner in zip(
            image, [(0, 0), (0, 28), (20, 0), (20, 28)], strict=True
        ):
            sides = rng.integers(8, 18, 2)
            start = corner + rng.integers(0, 20 - sides)
            row[:] = rng.integers(3), *start, *(start + sides)
    targets = jax.jit(jax.vmap(assign))(labels)
    outputs = {
        "logits": 20 * jax.nn.one_hot(targets.classes, 3) - 10,
        "distances": targets.distances,
        "centerness": jax.scipy.special.logit(targets.centerness.clip(0.001, 0.999)),
    }
    found = np.asarray(detections(outputs, most=12))
    assert found.shape == (8, 12, 6)
    for rows, expected in zip(found, labels, strict=True):
        real = {tuple(row[:5].round(3)) for row in rows if row[0] >= 0}
        assert real == {tuple(row) for row in expected if row[0] >= 0}
    assert average_precision(list(found), list(labels), 3).ap == pytest.approx(1)
    np.testing.assert_array_equal(found[0], [(-1, 0, 0, 0, 0, 0)] * 12)


@pytest.mark.parametrize(("most", "candidates"), [(5, 40), (100, 40), (30, 10**6)])
def test_detections_are_those_of_a_loop(most, candidates):
    outputs, _ = case(seed=most)
    found = detections(
        outputs,
        most=most,
        candidates=candidates,
        score_threshold=0.5,
        iou_threshold=0.3,
    )
    assert found.shape == (2, most, 6)
    outputs = jax.tree.map(np.asarray, outputs)
    for image, rows in enumerate(np.asarray(found)):
        best = []
        for place, (y, x) in enumerate(PLACES.centers):
            t, l, b, r = outputs["distances"][image, place]  # noqa: E741
            box = np.array([y - t, x - l, y + b, x + r]).clip(0, (*SIZE, *SIZE))
            center = 1 / (1 + np.exp(-outputs["centerness"][image, place]))
            for kind, logit in enumerate(outputs["logits"][image, place]):
                best.append((np.sqrt(center / (1 + np.exp(-logit))), kind, box))
        best.sort(key=lambda entry: -entry[0])
        expected = []
        for score, kind, box in best[:candidates]:
            if score > 0.5 and all(
                kind != row[0] or overlap(box, row[1:5]) <= 0.3 for row in expected
            ):
                expected.append((kind, *box, score))
        expected = expected[:most]
        assert len(expected) > 4
        np.testing.assert_allclose(
            rows[: len(expected)], expected, rtol=1e-4, atol=1e-4
        )
        assert (rows[len(expected) :] == (-1, 0, 0, 0, 0, 0)).all()


def overlap(a, b):
    height = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    width = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    sizes = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return height * width / (sum(sizes) - height * width)


@pytest.mark.full
def test_a_detector_learns():
    model = models.create(
        "fcos:plain",
        num_classes=2,
        widths=(8, 8),
        depth=1,
        strides=(2,),
        pyramid_channels=8,
        head_depth=1,
    )
    x = np.zeros((2, 16, 16, 1), np.float32)
    x[0, 2:10, 3:11] = 1
    x, labels = arrays((x, np.array([[(1, 2, 3, 10, 11)], [(-1, 0, 0, 0, 0)]])))
    where = places((16, 16), model.strides)
    variables = jax.jit(lambda key: model.init(key, x, False))(jax.random.key(0))

    @jax.jit
    def step(params):
        def total(params):
            outputs, _ = model.apply(
                variables | {"params": params}, x, True, mutable=["batch_stats"]
            )
            return sum(anchor_free.losses(outputs, labels, where).values())

        loss, grads = jax.value_and_grad(total)(params)
        return loss, jax.tree.map(lambda p, g: p - 0.05 * g, params, grads)

    params, history = variables["params"], []
    for _ in range(30):
        loss, params = step(params)
        history.append(float(loss))
    assert history[-1] < history[0] / 2
