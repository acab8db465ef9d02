"""The verdict on each arm, in the report of a sweep."""

import pytest
from scipy import stats

from cnn_jax.sweeps import protocol, units
from cnn_jax.sweeps.protocol import Protocol
from cnn_jax.sweeps.reports import report, verdicts
from tests.sweeps.conftest import accuracies

BASE = [0.900, 0.905, 0.895, 0.902]
NOISE = [0.001, -0.001, 0.002, -0.002]


@pytest.fixture
def sweep(make):
    better = [value + 0.05 + d for value, d in zip(BASE, NOISE, strict=True)]
    return make({"base": BASE, "diverges": better})


def cells(found, rows, margin):
    made = protocol.make(found, margin=margin)
    line = verdicts.table(found, rows, made, "plain").splitlines()[-1]
    return line.split()


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.05, "better"), (-0.05, "worse"), (0.0, "same")]
)
def test_arms_far_away_and_at_the_base(make, shift, verdict):
    other = [value + shift + d for value, d in zip(BASE, NOISE, strict=True)]
    found, rows = make({"base": BASE, "diverges": other})
    arm, to, said, different, same = cells(found, rows, 1.0)
    assert (arm, to, said) == ("diverges", "base", verdict)
    # Two one-sided tests are two tests against the ends of the margin.
    p = max(
        stats.ttest_1samp([shift + d for d in NOISE], -0.01, alternative="greater")[1],
        stats.ttest_1samp([shift + d for d in NOISE], 0.01, alternative="less")[1],
    )
    assert same == units.p_text(p)
    if shift:
        assert different == "<0.001"


def test_an_undecided_arm_says_how_many_seeds_would_decide(make):
    other = [
        value + d for value, d in zip(BASE, [0.02, -0.01, 0.015, 0.0], strict=True)
    ]
    found, rows = make({"base": BASE, "diverges": other})
    *_, said, _, _, about, more = cells(found, rows, 0.5)
    assert (said, about) == ("undecided", "about") and int(more) > 1


def test_a_report_with_a_margin_has_the_verdicts(sweep, tmp_path):
    found, rows = sweep
    plain = report.write(found, rows, tmp_path, protocol.make(found))
    assert "verdict" not in plain
    text = report.write(found, rows, tmp_path, protocol.make(found, margin=1.0))
    assert text.startswith(plain) and "margin of 1.00 points" in text
    page = (tmp_path / report.FILE).read_text()
    assert "Verdicts, with a margin of 1.00 points:" in page and "| better" in page
    assert "a false difference is at most 5% over all arms" in page
    assert "*more seeds*: further seeds that would decide" in page
    assert "* diverges:" in page


def test_a_report_with_looks_has_corrected_tests_alone(sweep, tmp_path):
    found, rows = sweep
    report.write(found, rows, tmp_path, protocol.make(found, until=True))
    page = (tmp_path / report.FILE).read_text()
    assert "Verdicts:" in page and "* diverges:" not in page
    assert (
        "Each arm has up to 4 seeds, with looks at 3 and 4 seeds. The probability of a "
        "false verdict is at most 5% over all arms and looks" in page
    )


def test_with_looks_the_table_says_when_an_arm_was_decided(fake):
    sweep = fake(apart=accuracies(0.05, 0.001, 1), near=accuracies(0.0, 0.001, 2))
    experiment = sweep.experiment(range(12))
    for run in experiment.runs:
        sweep.finish(run)
    made = protocol.make(experiment, until=True, margin=1.0)
    lines = verdicts.table(experiment, sweep.read(experiment), made, "plain")
    assert [line.split() for line in lines.splitlines()] == [
        ["arm", "to", "verdict", "seeds"],
        ["apart", "base", "better", "5"],
        ["near", "base", "same", "5"],
    ]


@pytest.mark.parametrize(
    ("looks", "text"), [((3,), "one look at 3 seeds"), ((3, 5, 6), "3, 5 and 6 seeds")]
)
def test_the_looks_in_words(looks, text):
    assert text in verdicts._promise(Protocol(tuple(range(looks[-1])), None, looks))


def test_a_report_says_which_results_were_known_before(make):
    found, rows = make({"base": BASE, "diverges": BASE})
    seeds = (0, 1, 2, 3)
    known = Protocol(seeds, seen=(0, 1))
    (said,) = verdicts.paragraphs(found, rows, known, "plain")
    assert said.startswith("Runs of the seeds 0, 1 were complete before this number")
    for seen in ((), seeds):
        assert verdicts.paragraphs(found, rows, Protocol(seeds, seen=seen), "") == []
