"""Random geometries of convolutions, and SciPy's convolution to compare with."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.signal import correlate


@dataclass(frozen=True)
class Geometry:
    space: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: int | tuple
    dilation: tuple[int, ...]
    groups: int
    channels: int
    features: int

    @property
    def pairs(self):
        rank = len(self.window)
        padding = (self.padding,) * rank if isinstance(self.padding, int) else None
        entries = padding or self.padding
        return tuple((p, p) if isinstance(p, int) else p for p in entries)

    @property
    def attributes(self):
        """Returns the attributes as users write them."""
        return {
            "strides": self.strides,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    @property
    def arguments(self):
        """Returns the arguments of `convolve`."""
        return self.attributes | {"padding": self.pairs}

    def kernel_shape(self):
        return (*self.window, self.channels // self.groups, self.features)


@st.composite
def _geometries(draw, ranks=(1, 2, 3), max_window=3):
    rank = draw(st.sampled_from(ranks))

    def sizes(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    window, dilation, strides = sizes(1, max_window), sizes(1, 2), sizes(1, 3)
    padding = draw(
        st.one_of(
            st.integers(0, 2),
            st.tuples(*[st.integers(0, 2)] * rank),
            st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * rank),
        )
    )
    space = tuple(
        (f - 1) * d + 1 + extra
        for f, d, extra in zip(window, dilation, sizes(0, 4), strict=True)
    )
    groups, per_group, filters = (draw(st.integers(1, 3)) for _ in range(3))
    return Geometry(
        space,
        window,
        strides,
        padding,
        dilation,
        groups,
        groups * per_group,
        groups * filters,
    )


def _integers(seed, *shape):
    """Small ones, of which float32 holds every sum exactly."""
    values = np.random.default_rng(seed).integers(-4, 5, shape)
    return values.astype(np.float32)


def _correlation(x, kernel, strides, padding, dilation, groups):
    """Zeros, a kernel with holes, SciPy for each pair of channels, every s-th value."""
    # SciPy casts the memory for its result, uninitialized, where the dtypes differ.
    x = np.pad(x.astype(float), [(0, 0), *padding, (0, 0)])
    extent = [(f - 1) * d + 1 for f, d in zip(kernel.shape, dilation, strict=False)]
    holed = np.zeros((*extent, *kernel.shape[-2:]))
    holed[tuple(slice(None, None, d) for d in dilation)] = kernel
    per_group, features = kernel.shape[-2:]
    maps = []
    for feature in range(features):
        group = feature // (features // groups)
        maps.append(
            sum(
                correlate(
                    x[..., group * per_group + c],
                    holed[None, ..., c, feature],
                    mode="valid",
                    method="direct",
                )
                for c in range(per_group)
            )
        )
    return np.stack(maps, -1)[(slice(None), *(slice(None, None, s) for s in strides))]


# Hypothesis wants fixtures that live as long as the session.


@pytest.fixture(scope="session")
def geometries():
    """`geometries(ranks=..., max_window=...)`: a strategy for `Geometry`."""
    return _geometries


@pytest.fixture(scope="session")
def integers():
    return _integers


@pytest.fixture(scope="session")
def correlation():
    """`correlation(x, kernel, **geometry.arguments)` by SciPy."""
    return _correlation
