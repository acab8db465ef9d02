"""The first sentence of docstrings, and their texts about names."""

from cnn_jax.core import docstrings


class Base:
    """A base class of Zhou et al. 2016, with a point in a name. And more.

    Attributes:
      width, height: pixels,
        of one image.
    """


class Kind(Base):
    """Another kind

    Attributes:
      width: see `Base`.
      depth: see `load.depth`, which is no reference.
    """


class Other:
    def load(self, count):
        """Loads: examples.

        Args:
          count: how many.

        Raises:
          UserError: never.
        """


def load(count, width):
    """Loads.

    Args:
      count: see `Other.load`.
      width: see `Base`
    """


def test_the_first_sentence():
    expected = "A base class of Zhou et al. 2016, with a point in a name."
    assert docstrings.first_sentence(Base) == expected
    assert docstrings.first_sentence(Kind) == "Another kind."


def test_entries_of_one_and_of_several_names():
    text = "pixels, of one image."
    assert docstrings.entries(Base) == {"width": text, "height": text}


def test_an_entry_that_refers_to_another_docstring():
    assert docstrings.entries(load) == {
        "count": "how many.",
        "width": "pixels, of one image.",
    }
    assert docstrings.entries(Kind)["width"] == "pixels, of one image."
    assert docstrings.entries(Kind)["depth"].startswith("see `load.depth`, which")
