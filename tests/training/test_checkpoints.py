"""Checkpoints: exact, whole or not at all, and the right ones kept."""

import json
import shutil
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from cnn_jax import models
from cnn_jax.core import records
from cnn_jax.core.errors import UserError
from cnn_jax.training import checkpoint_notes, optimizers, parallel, state
from cnn_jax.training.checkpoints import Checkpoints, checksums

METRIC = "test/accuracy"
open_in = partial(Checkpoints, best_metric=METRIC)


def network(name="mlp", ema=False, momentum=0.9, **attributes):
    """A state whose every leaf holds random numbers."""
    shape = {"mlp": (4, 4, 1), "resnet20": (8, 8, 1)}[name]
    model = models.create(name, num_classes=3, **attributes)
    fresh = state.create(
        model,
        optimizers.sgd(lambda step: 0.1, momentum=momentum),
        shape,
        seed=0,
        ema=ema,
    )
    rng = np.random.default_rng(0)

    def fill(leaf):
        if leaf.ndim == 0:
            return jnp.asarray(7, leaf.dtype)
        return jnp.asarray(rng.standard_normal(leaf.shape), leaf.dtype)

    return parallel.replicate(jax.tree.map(fill, fresh))


def small(value=0.0):
    return {"params": {"kernel": jnp.full((3,), float(value))}}


def like(tree):
    return jax.eval_shape(lambda: tree)


def assert_same(found, wanted):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def files(directory):
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_size)
        for path in [directory, *directory.rglob("*")]
    }


@pytest.fixture
def three(tmp_path):
    """Checkpoints of steps 1, 2 and 3, of which 1 is the best."""
    with open_in(tmp_path / "checkpoints", keep=2) as checkpoints:
        for step, score in ((1, 0.9), (2, 0.1), (3, 0.2)):
            checkpoints.save(step, small(step), {"n": step}, {METRIC: score})
    return tmp_path / "checkpoints"


@pytest.mark.parametrize("ema", [False, True])
@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("mlp", {"hidden": (5,), "momentum": 0.0}),
        ("resnet20", {"stage_sizes": (1,), "width": 4, "stem": "small"}),
    ],
)
def test_a_state_comes_back_to_the_bit(name, attributes, ema, tmp_path):
    saved = network(name, ema, **attributes)
    progress = {"results": {"best/step": 3, METRIC: 0.1}, "seconds": 1.5}
    with open_in(tmp_path / "c") as checkpoints:
        checkpoints.save(7, saved, progress, {METRIC: 0.5})
    with open_in(tmp_path / "c") as checkpoints:
        found, again, complaints = checkpoints.restore_newest(like(saved))
    assert_same(found, saved)
    assert (found.ema is None) == (not ema)
    assert again == progress and complaints == []


def test_an_empty_folder(tmp_path):
    with open_in(tmp_path / "c") as checkpoints:
        assert checkpoints.restore_newest(like(small())) == (None, {}, [])
        assert checkpoints.steps() == [] and checkpoints.best_step() is None


@pytest.mark.parametrize(
    ("scores", "keep", "kept", "best"),
    [
        ([0.1, 0.9, 0.3, None, 0.5, 0.2], 1, [2, 6], 2),
        ([0.1, 0.9, 0.3, None, 0.5, None], 2, [2, 5, 6], 2),
        ([0.1, 0.2, 0.3], 1, [3], 3),
        ([0.5, 0.5, None, 0.1], 1, [2, 4], 2),  # of equals the latest
        ([None, None, None], 2, [2, 3], None),
        ([0.4, 0.3, 0.2, 0.1], 3, [1, 2, 3, 4], 1),
    ],
)
def test_the_best_and_the_last_are_kept(scores, keep, kept, best, tmp_path):
    with open_in(tmp_path / "c", keep=keep) as checkpoints:
        for step, score in enumerate(scores, 1):
            metrics = None if score is None else {METRIC: score}
            checkpoints.save(step, small(step), {}, metrics)
    with open_in(tmp_path / "c", read_only=True) as checkpoints:
        assert checkpoints.steps() == kept
        assert checkpoints.best_step() == best
        for step in kept:
            found, _ = checkpoints.restore(step, like(small()))
            assert_same(found, small(step))


def test_reading_is_silent(three, caplog):
    with caplog.at_level("WARNING"), open_in(three, read_only=True) as checkpoints:
        assert checkpoints.steps()
    assert not caplog.records


def test_a_run_that_goes_on_still_knows_the_best(three):
    with open_in(three, keep=1) as checkpoints:
        checkpoints.save(4, small(4), {}, {METRIC: 0.5})
    with open_in(three, read_only=True) as checkpoints:
        assert checkpoints.steps() == [1, 4] and checkpoints.best_step() == 1


def test_the_state_may_be_changed_while_it_is_saved(tmp_path):
    change = jax.jit(lambda x: x * 0 - 1, donate_argnums=0)
    values = parallel.replicate(
        {"params": {"kernel": jnp.arange(100_000, dtype=jnp.float32)}}
    )
    with open_in(tmp_path / "c") as checkpoints:
        checkpoints.save(1, values, {}, None)
        kernel = change(values["params"]["kernel"])
        assert float(kernel[5]) == -1
        # The second save waits for the first.
        checkpoints.save(2, {"params": {"kernel": kernel}}, {}, {METRIC: 1.0})
    with open_in(tmp_path / "c") as checkpoints:
        found, _ = checkpoints.restore(2, like({"params": {"kernel": kernel}}))
        assert float(found["params"]["kernel"][7]) == -1


def test_a_saved_state_is_not_the_donated_one(tmp_path):
    change = jax.jit(lambda x: x * 0 - 1, donate_argnums=0)
    expected = np.arange(100_000, dtype=np.float32)
    kernel = parallel.replicate(jnp.asarray(expected))
    with open_in(tmp_path / "c") as checkpoints:
        checkpoints.save(1, {"kernel": kernel}, {}, None)
        change(kernel)
    with open_in(tmp_path / "c") as checkpoints:
        found, _ = checkpoints.restore(
            1, {"kernel": jax.ShapeDtypeStruct(expected.shape, expected.dtype)}
        )
    np.testing.assert_array_equal(found["kernel"], expected)


def test_a_part_of_a_state(tmp_path):
    saved = network("resnet20", True, stage_sizes=(1,), width=4, stem="small")
    with open_in(tmp_path / "c") as checkpoints:
        checkpoints.save(7, saved, {}, None)
    wanted = {"params": saved.params, "batch_stats": saved.batch_stats}
    with open_in(tmp_path / "c", read_only=True) as checkpoints:
        found, _ = checkpoints.restore(7, like(wanted))
    assert_same(found, wanted)


@pytest.mark.parametrize(
    "other",
    [
        {"params": {"kernel": jnp.zeros((4,))}},
        {"params": {"kernel": jnp.zeros((2,))}},
        {"params": {"kernel": jnp.zeros((3, 1))}},
        {"params": {"kernel": jnp.zeros((3,), jnp.int32)}},
        {"params": {"bias": jnp.zeros((3,))}},
        {"params": {"kernel": jnp.zeros((3,)), "bias": jnp.zeros((3,))}},
    ],
)
def test_a_state_of_something_else_is_refused(other, three):
    with (
        open_in(three, read_only=True) as checkpoints,
        pytest.raises(UserError, match=r"checkpoint of step 3 .* (read|damaged)"),
    ):
        checkpoints.restore(3, like(other))


# -------------------------------------------------------------------- damage


def test_a_flipped_byte_is_detected(tmp_path):
    """Orbax alone restores another number, without a word."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 2**31, 5000, np.int32)  # not compressible
    saved = {"params": {"kernel": parallel.replicate(jnp.asarray(noise))}}
    with open_in(tmp_path / "c") as checkpoints:
        checkpoints.save(1, saved, {}, None)
    content = noise.tobytes()
    for path in (tmp_path / "c/1/state").rglob("*"):
        stored = path.read_bytes() if path.is_file() else b""
        place = stored.find(content[1000:1016])
        if place >= 0:
            break
    assert place >= 0
    path.write_bytes(stored[:place] + bytes([stored[place] ^ 1]) + stored[place + 1 :])

    with ocp.PyTreeCheckpointer() as plain:
        silent = plain.restore(tmp_path / "c/1/state")["params"]["kernel"]
    assert np.sum(np.asarray(silent) != noise) == 1
    with (
        open_in(tmp_path / "c", read_only=True) as checkpoints,
        pytest.raises(UserError, match=r"step 1 .*damaged: the checksum of params/k"),
    ):
        checkpoints.restore(1, like(saved))


def test_no_flipped_byte_anywhere_gives_another_state(three):
    """Whatever file it is in: refused, or of no consequence."""
    rng, refused = np.random.default_rng(0), 0
    places = [
        (path, int(place))
        for path in sorted((three / "3").rglob("*"))
        if path.is_file() and path.stat().st_size
        for place in rng.integers(0, path.stat().st_size, 2)
    ]
    with open_in(three, read_only=True) as checkpoints:
        for path, place in places:
            stored = path.read_bytes()
            flipped = bytes([stored[place] ^ 0x10])
            path.write_bytes(stored[:place] + flipped + stored[place + 1 :])
            try:
                found, _ = checkpoints.restore(3, like(small()))
            except UserError as error:
                refused += 1
                assert "step 3" in str(error) and "\n" not in str(error)
            else:
                assert_same(found, small(3))
            path.write_bytes(stored)
        assert_same(checkpoints.restore(3, like(small()))[0], small(3))
    assert refused > len(places) / 4


def largest(directory):
    every = [path for path in directory.rglob("*") if path.is_file()]
    return max(every, key=lambda path: path.stat().st_size)


def truncate(step):
    path = largest(step / "state")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty_out(step):
    for path in step.rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


DAMAGES = {
    "truncated": truncate,
    "emptied": empty_out,
    "without its state": lambda step: shutil.rmtree(step / "state"),
    "without progress": lambda step: shutil.rmtree(step / "progress"),
    "an empty folder": lambda step: [shutil.rmtree(p) for p in step.glob("*/")],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over(damage, three):
    with open_in(three, keep=2) as checkpoints:
        assert checkpoints.steps() == [1, 2, 3]
    DAMAGES[damage](three / "3")
    with open_in(three, keep=2) as checkpoints:
        found, progress, complaints = checkpoints.restore_newest(like(small()))
        assert_same(found, small(2))
        assert progress == {"n": 2}
        if 3 in checkpoints.steps():
            (complaint,) = complaints
            assert complaint.startswith("the checkpoint of step 3 in ")
            assert "\n" not in complaint
        # The run goes on, and overwrites the damaged one.
        checkpoints.save(3, small(33), {"n": 33}, {METRIC: 0.3})
    with open_in(three, read_only=True) as checkpoints:
        found, progress, complaints = checkpoints.restore_newest(like(small()))
        assert_same(found, small(33))
        assert progress == {"n": 33} and complaints == []


def test_a_damaged_newer_one_does_not_push_out_good_ones(tmp_path):
    """The way back to its step may be long, and the run may be killed on it."""
    with open_in(tmp_path / "c", keep=1) as checkpoints:
        for step in (10, 30):
            checkpoints.save(step, small(step), {}, {METRIC: 1 / step})
    truncate(tmp_path / "c" / "30")
    with open_in(tmp_path / "c", keep=1) as checkpoints:
        found, _, _ = checkpoints.restore_newest(like(small()))
        assert_same(found, small(10))
        for step in (15, 20):
            checkpoints.save(step, small(step), {}, None)
    with open_in(tmp_path / "c", keep=1) as checkpoints:
        found, _, complaints = checkpoints.restore_newest(like(small()))
        assert_same(found, small(20))
        # Of a checkpoint that was given up nothing more is heard.
        assert complaints == []
        assert checkpoints.steps() == [10, 20]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_half_deleted_oldest_one_is_in_nobodys_way(damage, three):
    DAMAGES[damage](three / "1")
    with open_in(three, keep=2) as checkpoints:
        found, _, complaints = checkpoints.restore_newest(like(small()))
        assert_same(found, small(3))
        # No process that is killed leaves empty files.
        assert len(complaints) == (damage == "emptied")
        checkpoints.save(4, small(4), {}, {METRIC: 0.4})
    with open_in(three, read_only=True) as checkpoints:
        assert_same(checkpoints.restore(4, like(small()))[0], small(4))
        assert 4 in checkpoints.steps()


# ------------------------------------------------------------------- deletion


def renamed(step):
    DAMAGES["without progress"](step)
    step.rename(step.with_name(f"{step.name}.orbax-checkpoint-tmp-deleted"))


# What a kill leaves of a step that was to be deleted; without the rename, in runs of
# old versions.
KILLED = {
    "whole": lambda step: None,
    "renamed": renamed,
    "without its state": DAMAGES["without its state"],
    "without progress": DAMAGES["without progress"],
    "only folders": DAMAGES["an empty folder"],
    "empty": lambda step: (shutil.rmtree(step), step.mkdir()),
}


@pytest.mark.parametrize("killed", KILLED)
def test_the_next_start_ends_a_deletion(killed, three):
    KILLED[killed](three / "2")
    with open_in(three, read_only=True) as checkpoints:
        assert checkpoints.best_step() == 1
        assert checkpoints.steps()[-1] == 3
    with open_in(three, keep=1) as checkpoints:
        found, _, complaints = checkpoints.restore_newest(like(small()))
        assert_same(found, small(3))
        assert checkpoints.steps() == [1, 3] and complaints == []
    assert sorted(path.name for path in three.iterdir()) == ["1", "3"]


def test_nothing_is_deleted_at_the_start_while_the_newest_or_best_is_in_doubt(three):
    notes_of_best = three / "1" / "progress" / "metadata"
    whole = notes_of_best.read_bytes()
    notes_of_best.write_text("{}")
    with open_in(three, keep=1) as checkpoints:
        checkpoints.restore_newest(like(small()))
        assert checkpoints.steps() == [1, 2, 3]
    notes_of_best.write_bytes(whole)
    truncate(three / "3")
    with open_in(three, keep=1) as checkpoints:
        assert_same(checkpoints.restore_newest(like(small()))[0], small(2))
        assert checkpoints.steps() == [1, 2, 3]


# ----------------------------------------------------------------------- notes


def as_an_old_version(step):
    """Without the scores and the checksum in the notes."""
    path = step / "progress" / "metadata"
    content = json.loads(path.read_text())
    for key in ("scores", "checksum"):
        content.pop(key)
    path.write_text(json.dumps(content))


METRICS_DAMAGES = {
    "deleted": lambda path: shutil.rmtree(path.parent),
    "emptied": lambda path: path.write_bytes(b""),
    "another number": lambda path: path.write_text(f'{{"{METRIC}": 0.05}}'),
    "another name": lambda path: path.write_text('{"test/accurac9": 0.9}'),
    "no number": lambda path: path.write_text(f'{{"{METRIC}": "high"}}'),
    "no object": lambda path: path.write_text("[0.9]"),
}


@pytest.mark.parametrize("damage", METRICS_DAMAGES)
def test_what_orbax_keeps_of_the_scores_is_not_believed(damage, three):
    METRICS_DAMAGES[damage](three / "1" / "metrics" / "metrics")
    with open_in(three, read_only=True) as checkpoints:
        assert checkpoints.best_step() == 1
        assert checkpoints.scores(1) == {METRIC: 0.9}
    with open_in(three, keep=1) as checkpoints:
        checkpoints.save(4, small(4), {}, {METRIC: 0.5})
    with open_in(three, read_only=True) as checkpoints:
        assert checkpoints.steps() == [1, 4] and checkpoints.best_step() == 1


@pytest.mark.parametrize("damage", [None, *METRICS_DAMAGES])
def test_checkpoints_of_versions_that_left_the_scores_to_orbax(damage, three):
    """One without its scores does not hide the others."""
    for step in (1, 2, 3):
        as_an_old_version(three / str(step))
    if damage:
        METRICS_DAMAGES[damage](three / "1" / "metrics" / "metrics")
    with open_in(three, keep=2) as checkpoints:
        found, progress, complaints = checkpoints.restore_newest(like(small()))
        assert_same(found, small(3))
        assert progress == {"n": 3} and complaints == []
        assert checkpoints.best_step() == (3 if damage else 1)
        checkpoints.save(4, small(4), {}, {METRIC: 0.15})
        assert checkpoints.best_step() == (3 if damage else 1)


def test_no_flipped_bit_of_the_notes_is_believed(three):
    path = three / "1" / "progress" / "metadata"
    whole = path.read_bytes()
    refused = 0
    with open_in(three, read_only=True) as checkpoints:
        for place in range(0, 8 * len(whole), 3):
            damaged = bytearray(whole)
            damaged[place // 8] ^= 1 << place % 8
            path.write_bytes(damaged)
            try:
                found = checkpoint_notes.read(three / "1")
            except records.Damaged as error:
                refused += 1
                assert str(path) in str(error)
            else:
                assert (found.progress, found.scores) == ({"n": 1}, {METRIC: 0.9})
        assert refused > 2 * len(whole)
        with pytest.raises(UserError, match=r"step 1 .*damaged: .*metadata") as error:
            checkpoints.best_step()
        assert "--checkpoint=STEP" in str(error.value)
        _, _, (complaint,) = checkpoints.restore_newest(like(small()))
        assert complaint.startswith("the checkpoint of step 1 in ")


def test_a_newer_checkpoint_says_which_is_the_best(tmp_path):
    with open_in(tmp_path / "c", keep=3) as checkpoints:
        for step, score, best in ((1, 0.1, 1), (2, 0.9, 2), (3, 0.5, 2)):
            progress = {"results": {"best/step": best}}
            checkpoints.save(step, small(step), progress, {METRIC: score})
    (tmp_path / "c/1/progress/metadata").write_text("{}")
    with open_in(tmp_path / "c", read_only=True) as checkpoints:
        assert checkpoints.best_step() == 2
    for step in (3, 2):
        (tmp_path / f"c/{step}/progress/metadata").write_text("{}")
        with (
            open_in(tmp_path / "c", read_only=True) as checkpoints,
            pytest.raises(UserError, match="best checkpoint is therefore unknown"),
        ):
            checkpoints.best_step()


def test_nothing_can_be_read(three):
    for step in (1, 2, 3):
        truncate(three / str(step))
    with (
        open_in(three) as checkpoints,
        pytest.raises(UserError) as error,
    ):
        checkpoints.restore_newest(like(small()))
    text = str(error.value)
    assert text.startswith(f"no checkpoint in {three} can be read. ")
    assert all(f"step {step}" in text for step in (1, 2, 3))
    assert text.endswith("--overwrite.") and "\n" not in text


def test_reading_writes_nothing(three):
    unfinished = three / "4.orbax-checkpoint-tmp"
    unfinished.mkdir()
    before = files(three.parent)
    with open_in(three, read_only=True) as checkpoints:
        assert checkpoints.steps() == [1, 2, 3]
        checkpoints.best_step()
        checkpoints.restore(2, like(small()))
        checkpoints.restore_newest(like(small()))
    with open_in(three.parent / "absent", read_only=True) as checkpoints:
        assert checkpoints.steps() == []
    assert files(three.parent) == before


def test_a_checksum_is_that_of_the_bytes():
    tree = {
        "a": jnp.arange(6, dtype=jnp.float32).reshape(2, 3),
        "b": [jnp.zeros((), jnp.int32), jnp.ones((2,), jnp.bfloat16)],
    }
    found = checksums(tree)
    assert list(found) == ["a", "b/0", "b/1"]
    assert found == checksums(jax.tree.map(jnp.copy, tree))
    json.dumps(found)
    for name, value in (("a", tree["a"].at[0, 1].add(1e-6)), ("a", -tree["a"])):
        assert checksums(tree | {name: value})["a"] != found["a"]  # -0.0 too
