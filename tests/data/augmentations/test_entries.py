"""Entries of `data.augmentations`, as users write them."""

from dataclasses import dataclass

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Share
from cnn_jax.data import augmentations
from cnn_jax.data.augmentations.augmentation import Augmentation
from cnn_jax.data.augmentations.crop import Crop
from cnn_jax.data.augmentations.flip import Flip


@dataclass(frozen=True, kw_only=True)
class Every(Augmentation):
    """An augmentation with options of all types."""

    share: Share
    name: str = "a, b"
    sizes: tuple[int, ...] = (1, 2)
    limit: float | None = None
    on: bool = True


OWN = f"{__name__}.Every"
BOTH = ("crop(padding=2)", "flip(probability=1.0)")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ()),
        ((), ()),
        ("flip", ("flip(probability=0.5)",)),
        ("flip()", ("flip(probability=0.5)",)),
        ("crop(padding=2), flip(probability=1)", BOTH),
        ("(('crop', {'padding': 2}), 'flip(probability=1)')", BOTH),
        ("()", ()),
        (["crop(padding=2)", "flip(probability=1)"], BOTH),
        ((("crop", {"padding": 2}), ["flip", {"probability": 1}]), BOTH),
        (("crop(padding=2), flip(probability=1)",), BOTH),
    ],
)
def test_an_entry_has_several_forms(given, expected):
    found = augmentations.resolved(given)
    assert found == expected and augmentations.resolved(found) == found


def test_options_of_all_types():
    (found,) = augmentations.resolved(f"{OWN}(share=0.25, sizes=[3], limit=1)")
    assert found == f"{OWN}(share=0.25, name='a, b', sizes=(3,), limit=1.0, on=True)"
    assert augmentations.made((found,)) == (Every(share=0.25, sizes=(3,), limit=1.0),)


def test_augmentations_are_made_in_their_order():
    texts = augmentations.resolved("flip(probability=0.25), crop(padding=1), flip")
    expected = (Flip(probability=0.25), Crop(padding=1), Flip())
    assert augmentations.made(texts) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("flop", "unknown augmentation 'flop'. Did you mean 'flip'?"),
        ("crop(pad=2)", "augmentation 'crop': 'pad'. Did you mean 'padding'?"),
        ("crop(padding=2.5)", r"crop\(padding\) must be of type int, got 2.5"),
        ("crop(padding=-1)", r"augmentations: crop\(padding\)=-1 must be at least"),
        ("cutmix(alpha=0)", "must be above 0"),
        ("random_erasing(fill=red)", "no list of augmentations"),
        ("random_erasing(fill='red')", "random_erasing: unknown fill 'red'"),
        ("affine(scale=(2, 1))", r"affine: scale=\(2.0, 1.0\) must be two numbers"),
        (OWN, r"Every' needs the option 'share': write .*Every\(share=...\)"),
        ("crop(2)", r"text 'crop\(2\)', which is no list of augmentations"),
        ("crop(padding=x)", "no list of augmentations"),
        ("crop(padding=", "no list of augmentations"),
        ("flip] + [crop", "no list of augmentations"),
        ("crop(**{})", "unknown option of the augmentation 'crop': 'None'"),
        ("3", "augmentations=3 must be a list"),
        ("f(x)(y=1)", "no list of augmentations"),
        (3, "augmentations=3 must be a list of augmentations"),
        (["flip", 3], "has the entry 3: write a text"),
        ([("flip",)], r"has the entry \('flip',\)"),
        ([("flip", 3)], r"has the entry \('flip', 3\)"),
        (f"{__name__}.OWN", r"wrong type \(str\): it must be a subclass of"),
        (f"{__name__}.Missing", "there is no 'Missing' in"),
    ],
)
def test_entries_with_mistakes(given, message):
    with pytest.raises(UserError, match=message):
        augmentations.resolved(given)
