"""The pages: they are what the code says, and what is on them is there and works."""

import functools
import importlib
import re
import subprocess
import sys
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cnn_jax import command, console
from cnn_jax.analysis import overview
from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.runs.resolve import resolve, resolve_smoke
from cnn_jax.sweeps import budgets, experiment
from cnn_jax.training import config as config_lib
from docs import generate
from docs.generators import errors, messages, networks
from tests import pages
from tests.pages import DOCS, PAGES, PLACEHOLDER, ROOT, SPOKEN, name_of

MODULES = console.COMMANDS
by_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


# ------------------------------------------------------------ generated pages

AT_ONCE = [name for name in generate.PAGES if name != "networks"]


@pytest.mark.parametrize("name", AT_ONCE)
def test_a_generated_page_is_current(name):
    if name == "commands" and sys.version_info[:2] != (3, 11):
        pytest.skip("the argparse of Python 3.11 wrapped the lines of this page")
    assert generate.stale([name]) == [], "run python docs/generate.py"


def test_the_page_of_networks_is_current_but_for_its_table():
    """`tests/analysis/test_overview.py` compares the table, which takes a minute."""
    text = (DOCS / "reference" / "networks.md").read_text(encoding="utf-8")
    _, _, rest = text.partition(overview.BEGIN + "\n")
    table, _, _ = rest.partition("\n" + overview.END)
    assert networks.page_around(table) == text, "run python docs/generate.py"


# ------------------------------------------------------------ pages and links


CODE = '''
class Odd(UserError):
    """A class of the user's mistakes."""


def check(path, count, reason=None):
    where = f" in {reason}" if reason else ""
    if count:
        raise Odd(f"{path} has {count / 2:,.1f} rows{where}: remove {NAMED}.")
    parser.error("--a goes with --b")
    warnings.warn(DataWarning("it is " + ("odd" if count else "even")))
    raise UserError(str(reason))


NAMED = "some"
'''


def test_messages_are_collected(tmp_path):
    (tmp_path / "odd.py").write_text(CODE)
    found = [(m.kind, m.function, m.text) for m in messages.collect(tmp_path)]
    assert found == [
        ("error", "check", "PATH has N rows[ in REASON]: remove some."),
        ("flags", "check", "--a goes with --b"),
        ("warning", "check", "it is [odd / even]"),
    ]


def test_a_message_needs_a_group():
    new = messages.Message("core/new.py", "check", "it is wrong.", "error")
    with pytest.raises(errors.Ungrouped, match="which group of docs"):
        errors.group_of(new)


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags name Python objects."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def entries(nav):
    """The paths in mkdocs' navigation."""
    if isinstance(nav, str):
        return [nav]
    found = nav.values() if isinstance(nav, dict) else nav
    return [path for entry in found for path in entries(entry)]


def test_every_page_is_in_the_navigation():
    content = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)
    listed = entries(content["nav"])
    folders = tuple(entry for entry in listed if entry.endswith("/"))
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert {p for p in there if not p.startswith(folders)} <= set(listed)


@functools.cache
def anchors(path):
    return pages.anchors(path.read_text(encoding="utf-8"))


@by_page
def test_links_lead_somewhere(page):
    broken = []
    for link in pages.links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = urllib.parse.unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target)
        ):
            broken.append(link)
    assert not broken


def test_anchors():
    text = "# A `b` (c)\n\n## Same\n\n## Same\n\n```\n# no\n```\n<a id='x'></a>\n"
    text += '<a id="here"></a>\n## Mine {#own}\n'
    found = pages.anchors(text)
    assert {"a-b-c", "same", "same-1", "same_1", "here", "own"} <= found
    assert "no" not in found


# ---------------------------------------------------------------------- command lines


@functools.cache
def lines():
    """All commands on pages and in docstrings."""
    found = [
        line
        for page in PAGES
        for line in pages.commands(
            name_of(page), page.read_text(encoding="utf-8"), MODULES
        )
    ]
    found += [line for path in SPOKEN for line in pages.spoken(path, MODULES)]
    return [line for line in found if not line.is_pattern]


WHERE = sorted({line.where for line in lines()})
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_commands_are_found():
    text = (
        "    X=1 python -m cnn_jax.main --config=configs/mlp.py \\\n"
        "        --workdir=DIR  # why\n\n"
        "```console\n$ cnn-jax predict 'a b.png' | head\nanswer\n```\n"
        "`python -m cnn_jax.main` in a sentence\n\n    make test\n"
    )
    found = [
        (line.module, *line.arguments) for line in pages.commands("", text, MODULES)
    ]
    assert found == [
        ("predict", "a b.png"),
        ("main", "--config=configs/mlp.py", "--workdir=DIR"),
        ("make", "test"),
    ]


class Parsed(Exception):
    """The flags of a command, which goes no further."""


def flags_of(line):
    """The flags of a command, by its own parser; None for --help."""

    def parse(parser, argv=None, real=command.Parser.parse):
        raise Parsed(real(parser, argv))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command.Parser, "parse", parse)
        patch.setattr(sys, "argv", [line.module, *line.arguments])
        try:
            importlib.import_module(f"cnn_jax.{line.module}").main()
        except Parsed as parsed:
            return parsed.args[0]
        except SystemExit as stop:
            assert stop.code == 0, line.text
    return None


def written(where, folder):
    """Writes the files that a page tells its reader to write into a folder.

    Other pages use those of the guide on own code.
    """
    for page in dict.fromkeys(("docs/guides/extending.md", where)):
        for name, content in pages.files((ROOT / page).read_text("utf-8")).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
    imports.add(folder)


def check_config(line, flags, folder):
    """Resolves the config of a command: an unknown key or value is an error."""
    spec = flags.config
    if PLACEHOLDER.search(spec.partition(":")[0]):
        spec = "experiments/pooling.py" if line.module == "sweep" else "configs/mlp.py"
    if line.module == "sweep":
        experiment.load(
            spec,
            folder / "sweep",
            overrides=flags.overrides,
            grid=dict(flags.grid or ()),
            seeds=(0,),
            only=flags.arms,
        )
    else:
        resolve(config_lib.load_file(spec), flags.overrides)


# Sweeps wrote its commands, for each experiment; they are many.
LATER = ("experiments/README.md",)


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(where, marks=pytest.mark.full if where in LATER else ())
        for where in WHERE
    ],
)
def test_commands_are_right(where, tmp_path, monkeypatch):
    """All flags of the written commands exist, and their configs resolve."""
    written(where, tmp_path)
    monkeypatch.chdir(tmp_path)
    # Equal costs are found from the data, which only the user has.
    monkeypatch.setattr(budgets, "solved", lambda arms, *_: (list(arms), ()))
    for line in lines():
        if line.where != where:
            continue
        if line.module == "make":
            assert (
                set(re.findall(r"(?<!\S)[a-z][\w-]*(?!\S)", line.text)) - {"make"}
                <= TARGETS
            ), line.text
        elif (flags := flags_of(line)) and getattr(flags, "config", None):
            try:
                check_config(line, flags, tmp_path)
            except UserError as error:
                raise AssertionError(f"{line.text}: {error}") from error


# ------------------------------------------------------------ running them in small


def recipe_of(workdir):
    """The recipe whose run is in a folder by default: `resnet.py:cifar10`."""
    name, _, argument = Path(workdir).name.partition("-")
    file = ROOT / "configs" / f"{name}.py"
    spec = f"configs/{name}.py{':' * bool(argument)}{argument}"
    return spec if Path(workdir).parent == Path("runs") and file.is_file() else None


def small(line):
    """(module, arguments) of a command in small; None where it has no small form.

    Data of the reader's own are replaced by embedded ones, the run of a recipe by one
    of four steps ("RUN recipe"), and a picture by one of that run's size ("PICTURE").
    """
    flags = None if line.module == "make" else flags_of(line)
    if flags is None or line.module in ("sweep", "convert"):
        return None  # tests/test_experiments.py, tests/test_convert.py
    if line.where == "docs/guides/extending.md":
        return None  # tests/test_extending.py
    overrides = flags.overrides
    values = [f"--config.{key}={value}" for key, value in overrides.items()]
    for key in ("model.init_from", "task.teacher"):
        given = overrides.get(key, "none")
        if given != "none" and not (ROOT / given).exists():
            return None  # the reader's
    if "data.name" in overrides and any(map(PLACEHOLDER.search, overrides.values())):
        return None  # a source of the reader's files, which --smoke does not replace
    if getattr(flags, "list", None):
        return line.module, line.arguments
    spec = getattr(flags, "config", None)
    if spec and PLACEHOLDER.search(spec):
        return None
    if line.module == "main" and flags.mode == "train" and not flags.distributed:
        try:
            config = resolve_smoke(config_lib.load_file(spec), overrides)
            bare = resolve_smoke(config_lib.load_file(spec), {})
        except UserError:  # code of the reader's own; the test above resolves it
            return None
        if config_lib.hash_of(config) == config_lib.hash_of(bare):
            return None  # tests/test_program.py trains each recipe
        return "main", (f"--config={spec}", *values, "--smoke")
    if line.module == "summary" and not flags.all:
        return "summary", line.arguments
    if line.module in ("evaluate", "predict") and getattr(flags, "workdir", None):
        run = recipe_of(flags.workdir)
        if not run or (line.module == "predict" and not plain_pictures(flags)):
            return None
        if run.endswith(":gatys") and line.module == "predict":
            return None  # knows its own picture alone
        rest = [
            "PICTURE"
            if line.module == "predict" and Path(argument) in flags.images
            else f"--workdir=RUN {run}"
            if argument.startswith("--workdir")
            else "--output=OUTPUT"
            if argument.startswith("--output")
            else f"--predictions=OUTPUT{Path(argument).suffix}"
            if argument.startswith("--predictions")
            else argument
            for argument in line.arguments
        ]
        return line.module, tuple(rest)
    return None


def plain_pictures(flags):
    """Whether `predict` takes pictures and nothing else."""
    suffixes = {path.suffix for path in flags.images}
    compared = flags.style or flags.gallery
    return not compared and suffixes <= {"", ".png", ".jpg"}


# Networks that take long to compile on a CPU. `test_program` trains most of them.
LARGE = re.compile(
    r":voc|:camvid|:pets|style_transfer|vgg|video|segmentation|detection|faces"
)


@functools.cache
def in_small():
    found = {}
    for line in lines():
        if (form := small(line)) is not None:
            found.setdefault(form, line.where)
    return found


def pytest_generate_tests(metafunc):
    if "form" in metafunc.fixturenames:
        asked = any(map(metafunc.config.getoption, ("--full", "--slow")))
        forms = [
            pytest.param(
                form, marks=pytest.mark.slow if LARGE.search(str(form)) else ()
            )
            for form in (in_small() if asked else ())
        ]
        metafunc.parametrize("form", forms, ids=lambda form: " ".join(form[1]))


@pytest.mark.full
def test_a_command_runs_in_small(form, done, run, shared, tmp_path):
    module, arguments = form

    def filled(argument):
        if argument == "PICTURE":
            size = (48, 48) if "scenes" in str(arguments) else (32, 32)
            pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "picture.png")
            return str(tmp_path / "picture.png")
        if argument.startswith("--workdir=RUN "):
            spec = argument.removeprefix("--workdir=RUN ")
            made = shared(
                f"pages-{spec.replace('/', '-')}",
                lambda folder: run(
                    "main",
                    f"--config={spec}",
                    "--config.model.init_from=none",  # a file of the reader's
                    "--smoke",
                    f"--workdir={folder / 'run'}",
                ),
            )
            return f"--workdir={made / 'run'}"
        return argument.replace("OUTPUT", str(tmp_path / "output"))

    more = [f"--workdir={tmp_path / 'run'}"] if module == "main" else []
    done(module, *map(filled, arguments), *more)


# ------------------------------------------------------------ the site


@pytest.mark.full
def test_the_site_is_built_without_a_warning(tmp_path):
    for module in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        pytest.importorskip(module)
    process = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr


def test_the_readme_is_a_page():
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 150
    assert not [line for line in lines if len(line) > 100]
