"""Style transfer: losses beside NumPy's, and what is shown of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.tasks import metrics, style_transfer
from cnn_jax.tasks.style_transfer import StyleTransfer


@pytest.fixture
def outputs():
    """Returns maps of two style layers and one content layer for three examples."""
    rng = np.random.default_rng(0)

    def maps(count, *shape):
        return tuple(
            jnp.asarray(rng.normal(size=(3, *shape)), jnp.float32) for _ in range(count)
        )

    return {
        "picture": jnp.asarray(rng.uniform(-0.1, 1.1, (3, 6, 5, 3)), jnp.float32),
        "content": [maps(2, 4, 3, 2)],
        "style": [maps(3, 4, 3, 2), maps(3, 2, 2, 5)],
    }


def gram(x):
    """Johnson et al. 2016, equation 3, entry by entry, of one map."""
    x = np.asarray(x, np.float64)
    height, width, channels = x.shape
    found = np.zeros((channels, channels))
    for c in range(channels):
        for d in range(channels):
            found[c, d] = (x[..., c] * x[..., d]).sum() / (height * width * channels)
    return found


def moments(x):
    x = np.asarray(x, np.float64)
    return np.stack([x.mean((0, 1)), np.sqrt(x.var((0, 1)) + 1e-5)])


def variation(x):
    x = np.asarray(x, np.float64)
    return ((x[1:] - x[:-1]) ** 2).mean() + ((x[:, 1:] - x[:, :-1]) ** 2).mean()


def squared(a, b):
    return ((np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2).sum()


STATISTICS = {"gram": gram, "moments": moments}


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics(name, outputs):
    (maps, _, _), _ = outputs["style"]
    found = style_transfer.STATISTICS[name](maps)
    expected = [STATISTICS[name](x) for x in maps]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_style_is_not_where_things_are(outputs):
    """Places in another order have the same statistics, and another content."""
    (maps, _, _), _ = outputs["style"]
    moved = maps.reshape(3, -1, 2)[:, ::-1].reshape(maps.shape)
    for statistics in style_transfer.STATISTICS.values():
        np.testing.assert_allclose(statistics(maps), statistics(moved), atol=1e-6)
    assert np.abs(maps - moved).max() > 1


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("name", STATISTICS)
def test_losses(name, relative, outputs):
    weights, statistics = (0.5, 3.0), STATISTICS[name]
    task = StyleTransfer(
        content_weight=2.0,
        style_weight=7.0,
        layer_weights=weights,
        variation_weight=0.3,
        statistics=name,
        relative=relative,
    )
    rows = []
    pairs = np.random.default_rng(5).integers(0, 256, (3, 2, 6, 5, 3), np.uint8)
    for i in range(3):
        style = own = 0.0
        for weight, maps in zip(weights, outputs["style"], strict=True):
            seen, content, wanted = (statistics(x[i]) for x in maps)
            size = squared(wanted, 0 * wanted) if relative else 1
            style += weight * squared(seen, wanted) / size
            own += weight * squared(content, wanted) / size
        ((seen, wanted),) = outputs["content"]
        size = squared(wanted[i], 0 * wanted[i]) if relative else wanted[i].size
        content = squared(seen[i], wanted[i]) / size
        noise = variation(outputs["picture"][i])
        rows.append((content, style, noise, own, variation(pairs[i, 0] / 255)))
    # Padding counts nowhere.
    mask = jnp.array([1.0, 1.0, 0.0])
    totals = metrics.add(
        {}, task.metrics(outputs, {"mask": mask, "image": jnp.asarray(pairs)})
    )
    found = task.scores(totals)
    content, style, noise, own, given = np.mean(rows[:2], axis=0)
    loss = 2 * content + 7 * style + 0.3 * noise
    undone = 7 * own + 0.3 * given
    expected = {
        "content_loss": content,
        "style_loss": style,
        "variation": noise,
        "input_style_loss": own,
        "loss": loss,
        "input_loss": undone,
        "improvement": 1 - loss / undone,
    }
    assert found == pytest.approx(expected, rel=1e-4)
    content, style, noise, *_ = np.mean(rows, axis=0)
    expected = 2 * content + 7 * style + 0.3 * noise
    assert float(task.loss(outputs, {})) == pytest.approx(expected, rel=1e-4)


def test_nothing_done_is_no_improvement(outputs):
    """An unchanged picture has an improvement of zero, also if its loss is zero."""
    pairs = np.random.default_rng(5).integers(0, 256, (3, 2, 6, 5, 3), np.uint8)
    undone = {
        "picture": jnp.asarray(pairs[:, 0] / 255, jnp.float32),
        "content": [(outputs["content"][0][1],) * 2],
        "style": [(content, content, style) for _, content, style in outputs["style"]],
    }
    for task in (
        StyleTransfer(),
        StyleTransfer(style_weight=0.0, variation_weight=0.0),
    ):
        totals = metrics.add({}, task.metrics(undone, {"image": jnp.asarray(pairs)}))
        assert task.scores(totals)["improvement"] == pytest.approx(0, abs=1e-5)


@pytest.mark.full
def test_what_has_content_and_style_has_no_loss(outputs):
    """Maps of zeros cause no division by zero."""
    wanted = [maps[2] for maps in outputs["style"]]
    same = {
        "picture": jnp.full((3, 6, 5, 3), 0.5),
        "content": [(wanted[0], wanted[0])],
        "style": [(x, x, x) for x in wanted],
    }
    assert float(StyleTransfer().loss(same, {})) == 0
    nothing = jax.tree.map(jnp.zeros_like, same)
    grads = jax.grad(lambda x: StyleTransfer().loss(x, {}))(nothing)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_pictures_and_answers(outputs):
    task = StyleTransfer()
    found = task.predictions(outputs, {})
    expected = np.rint(np.clip(outputs["picture"], 0, 1) * 255)
    np.testing.assert_array_equal(found["output"], expected)
    assert found["output"].dtype == np.uint8 and found["error"].shape == (3,)
    pair = np.zeros((2, 6, 5, 3), np.uint8)
    rows = [
        {"image": pair, "output": np.asarray(output), "error": np.float32(1)}
        for output in found["output"]
    ]
    picture = task.summaries({}, rows)["stylized"]
    assert picture.dtype == np.uint8 and picture.shape[1] >= 3 * 5
    assert task.summaries({}, []) == {}
    made = np.asarray(outputs["picture"])
    assert task.answers([], made, 5) == [[{"width": 5, "height": 6}]] * 3
    np.testing.assert_array_equal(task.drawn(pair[0], made[0]), expected[0])


def test_mistakes():
    with pytest.raises(UserError, match=r"config\.task\.statistics 'grams'"):
        StyleTransfer(statistics="grams")
