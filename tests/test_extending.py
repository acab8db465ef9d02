"""The examples of docs/guides/extending.md, as a user has them.

The files lie in a folder outside of the checkout, where the page's commands run. What
they print is on the page, up to numbers.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import QUICK

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guides" / "extending.md").read_text()
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
SECTIONS = {
    text.splitlines()[0]: re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    for text in PAGE.split("\n## ")[1:]
}
# The program `cnn-jax`, which does not search the working directory by itself.
PROGRAM = [sys.executable, "-P", "-c", "from cnn_jax.console import main; main()"]
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in QUICK}
ENVIRONMENT["PYTHONPATH"] = str(ROOT)


def commands(block):
    """The flags of each command in a console block, and the lines that it prints."""
    for part in re.split(r"^\$ ", block.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        line, *printed = part.splitlines()
        program, *flags = shlex.split(line)
        assert program == "cnn-jax"
        yield flags, printed


def pattern(line):
    """Matches a printed line with other numbers."""
    words = re.sub(r"[\d,]*\.?\d+", "0", line.removesuffix("...")).split()
    return r"\s+".join(re.escape(word).replace("0", r"[\d.,]+") for word in words)


def start(flags, folder):
    return subprocess.Popen(
        [*PROGRAM, *flags],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0 and "Traceback" not in err, f"{out}\n{err}"
    return out, err


def interrupted(flags, folder):
    """Sends Ctrl-C to a training run once its log has begun."""
    (workdir,) = [flag.partition("=")[2] for flag in flags if "--workdir" in flag]
    process, log = start(flags, folder), folder / workdir / "metrics.jsonl"
    deadline = time.monotonic() + 200
    while not (log.exists() and log.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert not log.with_name("results.json").exists()


@pytest.fixture
def project(tmp_path):
    """A user's folder with the files of the page, and a picture."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / "digit.png")
    return tmp_path


def test_the_page_has_an_example_of_each_kind():
    assert len(SECTIONS) == 7 and all(SECTIONS.values())
    assert {len(text.splitlines()) < 40 for text in FILES.values()} == {True}
    width = max(len(line) for text in FILES.values() for line in text.splitlines())
    assert width <= 88


@pytest.mark.full
@pytest.mark.parametrize("section", SECTIONS)
def test_an_example(section, project):
    for block in SECTIONS[section]:
        for number, (flags, printed) in enumerate(commands(block)):
            goes_on = section == "A model" and number == 0
            if goes_on:
                interrupted(flags, project)
            out, err = ended(start(flags, project))
            assert ("resuming from step" in err) == goes_on
            for line in printed:
                assert re.search(pattern(line), out), f"{line}\n{out}"


@pytest.mark.full
def test_a_run_is_used_from_another_folder(project, tmp_path_factory):
    """Changed code gives one warning; files in the run's folder are not executed."""
    flags = ["--config=configs/mlp.py", "--smoke", "--workdir=runs/gated"]
    flags += ["--config.model.name=gates.Gated"]
    ended(start(["train", *flags], project))
    workdir = project / "runs" / "gated"
    for name in ("gates", "numpy", "flax", "sitecustomize"):
        (workdir / f"{name}.py").write_text("raise SystemExit('executed')")
    with (project / "gates.py").open("a") as file:
        file.write("\n# changed\n")
    for command, folder in (
        (["evaluate"], tmp_path_factory.mktemp("elsewhere")),
        (["predict", str(project / "digit.png")], workdir),
    ):
        _, err = ended(start([*command, f"--workdir={workdir}"], folder))
        assert err.count("warning:") == 1 and "gates.py has changed" in err
