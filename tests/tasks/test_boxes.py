"""Overlap of boxes beside counted pixels, and suppression beside a plain loop."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.tasks import boxes

GRID, COUNT = 12, 6

# Compiled once for all examples.
iou_matrix, giou = jax.jit(boxes.iou_matrix), jax.jit(boxes.giou)
suppress = jax.jit(boxes.suppress, static_argnums=2)

corner = st.integers(0, GRID)
box = st.tuples(corner, corner, corner, corner)
many = st.lists(box, min_size=COUNT, max_size=COUNT)


def floats(rows):
    return jnp.array(rows, jnp.float32)


def pixels(box):
    """Which of the grid a box covers; none if it is empty."""
    covered = np.zeros((GRID, GRID), bool)
    top, left, bottom, right = box
    covered[top:bottom, left:right] = True
    return covered


def ratio(a, b):
    return a / b if b else 0.0


def counted_iou(a, b):
    return ratio((pixels(a) & pixels(b)).sum(), (pixels(a) | pixels(b)).sum())


@settings(max_examples=60, deadline=None)
@given(many, many)
def test_areas_and_overlap_are_those_of_pixels(a, b):
    sizes = [pixels(box).sum() for box in a]
    np.testing.assert_array_equal(boxes.areas(floats(a)), sizes)
    expected = [[counted_iou(one, other) for other in b] for one in a]
    np.testing.assert_allclose(iou_matrix(floats(a), floats(b)), expected, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(many, many)
def test_giou_is_that_of_pixels(a, b):
    def hull(a, b):
        return (*np.minimum(a[:2], b[:2]), *np.maximum(a[2:], b[2:]))

    expected = []
    for one, other in zip(a, b, strict=True):
        union = (pixels(one) | pixels(other)).sum()
        around = pixels(hull(one, other)).sum()
        expected.append(counted_iou(one, other) - ratio(around - union, around))
    found = giou(floats(a), floats(b))
    # Around empty boxes, whose corners are no pixels', the hull is counted otherwise.
    whole = [
        min(pixels(x).sum(), pixels(y).sum()) > 0 for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(
        found[np.array(whole)], np.array(expected)[whole], rtol=1e-5
    )
    assert (found >= -1).all() and (found <= 1).all()


def test_the_papers_extremes():
    """GIoU is 1 for equal boxes, and nearly -1 for boxes far apart (section 3)."""
    one = jnp.array([0.0, 0, 2, 3])
    assert boxes.giou(one, one) == 1
    assert -1 < boxes.giou(one, one + 1000) < -0.99
    # Side by side they overlap by nothing, and nothing lies between them.
    assert boxes.giou(one, one + jnp.array([2.0, 0, 2, 0])) == 0


def test_gradients_are_finite_and_pull_boxes_together():
    away = jnp.array([[0.0, 0, 2, 2], [0, 0, 0, 0], [3, 3, 3, 3]])
    aim = jnp.array([[0.0, 5, 2, 7], [0, 0, 0, 0], [1, 1, 5, 5]])
    gradient = jax.jit(jax.grad(lambda b: boxes.giou(b, aim).sum()))(away)
    assert np.isfinite(gradient).all()
    assert gradient[0, 3] > 0  # its right side should move right


def loop(boxes, classes, threshold):
    """Girshick's non-maximum suppression, box after box."""
    kept = []
    for i in range(len(boxes)):
        if all(
            classes[i] != classes[j] or counted_iou(boxes[i], boxes[j]) <= threshold
            for j in kept
        ):
            kept.append(i)
    return kept


@settings(max_examples=100, deadline=None)
@given(
    st.lists(box, min_size=10, max_size=10),
    st.lists(st.integers(0, 1), min_size=10, max_size=10),
    # No ratio of whole numbers this small.
    st.sampled_from([0.0499, 0.3003]),
)
def test_suppression_is_that_of_a_loop(found, classes, threshold):
    kept = suppress(floats(found), jnp.array(classes), threshold)
    assert np.flatnonzero(kept).tolist() == loop(found, classes, threshold)


def test_a_chain_of_boxes():
    """Each overlaps the next one too much, so that every other one stays; which ones
    do is decided one after the other, down to the last."""
    chain = [(0, 4 * i, 10, 4 * i + 10) for i in range(10)]
    kept = suppress(floats(chain), jnp.zeros(10, int), 0.3003)
    assert np.flatnonzero(kept).tolist() == [0, 2, 4, 6, 8]
    kept = suppress(floats(chain), jnp.arange(10) % 2, 0.3003)
    assert kept.all()
