"""The verdict on each arm, in the report of a sweep."""

import pytest
from scipy import stats

from cnn_jax.sweeps import report, verdicts

BASE = [0.900, 0.905, 0.895, 0.902]
NOISE = [0.001, -0.001, 0.002, -0.002]


@pytest.fixture
def sweep(make):
    better = [value + 0.05 + d for value, d in zip(BASE, NOISE, strict=True)]
    return make({"base": BASE, "diverges": better})


def cells(found, rows, margin):
    line = verdicts.table(found, rows, margin, "plain").splitlines()[-1]
    return line.split()


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.05, "better"), (-0.05, "worse"), (0.0, "same")]
)
def test_arms_far_away_and_at_the_base(make, shift, verdict):
    other = [value + shift + d for value, d in zip(BASE, NOISE, strict=True)]
    found, rows = make({"base": BASE, "diverges": other})
    arm, to, said, different, same = cells(found, rows, 0.01)
    assert (arm, to, said) == ("diverges", "base", verdict)
    # Two one-sided tests are two tests against the ends of the margin.
    p = max(
        stats.ttest_1samp([shift + d for d in NOISE], -0.01, alternative="greater")[1],
        stats.ttest_1samp([shift + d for d in NOISE], 0.01, alternative="less")[1],
    )
    assert same == verdicts.p_text(p)
    if shift:
        assert different == "<0.001"


def test_an_undecided_arm_says_how_many_seeds_would_decide(make):
    other = [
        value + d for value, d in zip(BASE, [0.02, -0.01, 0.015, 0.0], strict=True)
    ]
    found, rows = make({"base": BASE, "diverges": other})
    *_, said, _, _, about, more = cells(found, rows, 0.005)
    assert (said, about) == ("undecided", "about") and int(more) > 1


def test_a_report_with_a_margin_has_the_verdicts(sweep, tmp_path):
    found, rows = sweep
    plain = report.write(found, rows, tmp_path)
    assert "verdict" not in plain
    text = report.write(found, rows, tmp_path, margin=1.0)
    assert text.startswith(plain) and "margin of 1.00 points" in text
    page = (tmp_path / report.FILE).read_text()
    assert "Verdicts, with a margin of 1.00 points:" in page and "| better" in page
