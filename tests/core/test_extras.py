"""Packages of extras: used where they are, named where they are not."""

import configparser
import re
import sys
from pathlib import Path

import pytest

from cnn_jax.core import extras
from cnn_jax.core.errors import UserError

ROOT = Path(__file__).parents[2]


def test_a_package_that_is_installed():
    extras.check("json.decoder", "any", "it")
    assert extras.need("json.decoder", "any", "it") is sys.modules["json.decoder"]


@pytest.mark.parametrize("use", [extras.check, extras.need])
def test_a_package_that_is_not(use, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError) as error:
        use("av.container", "video", "clip a.mp4")
    text = (
        "clip a.mp4 needs the package av, which is not installed. Install it: "
        "pip install 'cnn_jax[video]'."
    )
    assert str(error.value) == text


def test_a_package_that_is_broken(tmp_path, monkeypatch):
    (tmp_path / "broken_x.py").write_text("import nothing_x")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"cannot be imported: No module"):
        extras.need("broken_x", "video", "clip a.mp4")


def test_every_extra_that_is_named_is_one():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    known = dict(setup["options.extras_require"])
    call = re.compile(r'extras\.(?:need|check)\(\s*"([\w.]+)",\s*"(\w+)"')
    named = {
        (module.partition(".")[0], extra)
        for path in (ROOT / "cnn_jax").rglob("*.py")
        for module, extra in call.findall(path.read_text())
    }
    names = {"skimage": "scikit-image"}  # a package whose modules are called otherwise
    # The tests use all of them but the hub, of which they have a stand-in.
    tested = {*re.search(r"cnn_jax\[(.*)\]", known["dev"])[1].split(","), "hf"}
    for package, extra in named:
        assert names.get(package, package) in known[extra] and extra in tested
    assert len(named) == 9
