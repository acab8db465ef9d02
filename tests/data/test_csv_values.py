"""Pictures that are listed with numbers in a CSV file."""

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data.loading import eval_batches
from cnn_jax.data.splits import Arrays


@pytest.fixture
def table(tmp_path, write):
    """Ten gray pictures with their gray level and its negative, and three patients."""
    rows = []
    for i in range(10):
        write(tmp_path / f"{i}.png", value=20 * i)
        part = "train" if i < 7 else "test"
        rows.append(f"{i}.png, {20 * i}.0 ,-{20 * i}e0,{part},p{i // 4}")
    file = tmp_path / "table.csv"
    file.write_text("\n".join(["path,value,negative,part,patient", *rows, ""]))
    return file


def load(table, **options):
    options = {"image_size": 8, "channels": 1, **options}
    return data.load("csv_values", file=str(table), **options)


@pytest.mark.parametrize("in_memory", [True, False])
def test_numbers_belong_to_their_pictures(table, in_memory):
    columns = ("value", "negative")
    made = load(
        table, value_columns=columns, split_column="part", in_memory=in_memory, val=2
    )
    assert made.label_kind == "values" and made.classes == columns
    assert made.label_shape == (2,) and made.image_shape == (8, 8, 1)
    sizes = {role: len(split) for role, split in made.splits.items()}
    assert sizes == {"train": 5, "val": 2, "test": 3}
    for split in made.splits.values():
        assert isinstance(split, Arrays) == in_memory
        (batch,) = eval_batches(split, batch_size=len(split))
        assert batch["label"].dtype == np.float32
        np.testing.assert_array_equal(batch["label"][:, 0], batch["image"][:, 0, 0, 0])
        np.testing.assert_array_equal(batch["label"][:, 1], -batch["label"][:, 0])
    (batch,) = eval_batches(made.splits["train"], batch_size=5)
    known = made.label_statistics
    np.testing.assert_allclose(known.mean, batch["label"].mean(0), rtol=1e-6)
    np.testing.assert_allclose(known.std, batch["label"].std(0), rtol=1e-6)
    assert made.crop == 1


def test_a_share_is_for_testing_and_groups_stay_together(table):
    splits = load(table, test_fraction=0.3).splits
    assert {role: len(split) for role, split in splits.items()} == {
        "train": 7,
        "test": 3,
    }
    made = load(table, group_column="patient", test_fraction=0.3, val=0.5)
    found = {
        role: {int(name[0]) // 4 for name in made.identities(role)}
        for role in made.splits
    }
    assert sum(map(len, found.values())) == len(set().union(*found.values())) == 3


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("x", {}, "line 2: 'x' is no finite number: write a number"),
        ("nan", {}, "line 2: 'nan' is no finite number"),
        ("1e39", {}, "line 2: '1e39' is no finite number"),
        ("", {}, "line 2: the column 'value' is empty"),
        ("1", {"value_columns": ()}, "value_columns is empty: name at least one"),
        ("1", {"value_columns": ("age",)}, "no column 'age'.*data.value_columns"),
    ],
)
def test_mistakes(table, text, options, message):
    lines = table.read_text().split("\n")
    lines[1] = f"0.png,{text},0,train,p0"
    table.write_text("\n".join(lines))
    with pytest.raises(UserError, match=message):
        load(table, **options)
