"""Things by name, and by import path."""

import hashlib
import json
import os
import sys
from types import ModuleType

import pytest

from cnn_jax.core import guard, imports
from cnn_jax.core.errors import UserError

KNOWN = {"one": 1, "other": 2}
NETS = "class Base:\n    pass\n\n\nclass Net(Base):\n    class Part:\n        pass\n"
RUN = {"config": {}, "config_hash": "0", "dataset": {}, "versions": {}}


def write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def project(tmp_path):
    """A folder of a user's code, which can be imported."""
    write(tmp_path / "project" / "nets_a.py", NETS)
    write(tmp_path / "project" / "package_a" / "__init__.py")
    write(tmp_path / "project" / "package_a" / "nets.py", NETS)
    write(tmp_path / "project" / "space_a" / "nets.py", NETS)
    imports.add(tmp_path / "project")
    return tmp_path / "project"


# ------------------------------------------------------------------------------- find


def test_a_name_of_ours_comes_first():
    assert imports.find("model", "one", KNOWN) == 1


@pytest.mark.parametrize(
    "name",
    ["nets_a.Net", "nets_a.Net.Part", "package_a.nets.Net", "space_a.nets.Net.Part"],
)
def test_an_import_path(name, project):
    found = imports.find("model", name, KNOWN)
    assert f"{found.__module__}.{found.__qualname__}" == name
    assert {name} == imports.FOLLOWED
    assert sys.path[-1] == str(project)


def test_installed_packages_come_first(project):
    import flax.linen as nn

    write(project / "flax" / "linen.py", "raise ValueError")
    assert imports.find("model", "flax.linen.Dense", {}) is nn.Dense


def test_what_is_known_is_not_imported(project):
    write(project / "broken_a.py", "raise ValueError")
    assert imports.find("model", "broken_a.Net", {"broken_a.Net": 3}) == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("onee", "unknown model 'onee'. Did you mean 'one'?"),
        (".Net", "unknown model '.Net'"),
        ("..a.b", "unknown model"),
        ("/tmp/a.b", "unknown model"),
        ("a b.c", "unknown model"),
        ("nets_a.", "unknown model"),
        ("nets_a.__doc__", "unknown model"),
        ("nets_a.Net.__init__.__globals__", "unknown model"),
        ("__main__.Net", "unknown model"),
        ("nets_b.Net", "model 'nets_b.Net': no module 'nets_b' is among the "),
        ("package_a.net.Net", "there is no 'net' in "),
        ("nets_a.Nett", "nets_a.py. Did you mean 'Net'?"),
        ("nets_a.Net.Party", "nets_a.py. Did you mean 'Part'?"),
        (
            "package_a.nets",
            "add the name of the model in this module, package_a.nets.NAME.",
        ),
        ("os.system", "'os' is a module of Python's standard library"),
        ("builtins.exec", "standard library"),
        ("subprocess.Popen", "standard library"),
        ("antigravity.fly", "standard library"),
    ],
)
def test_what_leads_nowhere(name, words, project):
    with pytest.raises(UserError) as error:
        imports.find("model", name, KNOWN)
    assert words in str(error.value) and "\n" not in str(error.value)
    assert not imports.FOLLOWED
    if "is installed" in words:
        assert str(project) in str(error.value)


def test_a_thing_of_another_kind_is_not_called(project):
    write(project / "nets_c.py", "def net():\n    raise ValueError\n")
    for name, words in (
        ("nets_c.net", "has the wrong type (function): it must be a class."),
        ("package_a.nets", "is a module"),
    ):
        with pytest.raises(UserError) as error:
            imports.find(
                "model",
                name,
                KNOWN,
                accepts=lambda thing: isinstance(thing, type),
                wanted="a class",
            )
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("files", "name", "words"),
    [
        (
            {"faulty_a.py": "x = 1\ny = x / 0\n"},
            "faulty_a.Net",
            "the import of faulty_a ({}/faulty_a.py, line 2) failed: ZeroDivisionError",
        ),
        (
            {"faulty_b.py": "\ndef f(:\n"},
            "faulty_b.Net",
            "({}/faulty_b.py, line 2) failed: SyntaxError",
        ),
        (
            {
                "faulty_c.py": "import faulty_d\n",
                "faulty_d.py": "\n\nimport nothing_a\n",
            },
            "faulty_c.Net",
            "({}/faulty_d.py, line 3) failed: ModuleNotFoundError: No module named",
        ),
        (
            {"faulty_e/__init__.py": "\nimport sys\nsys.exit(3)\n"},
            "faulty_e.nets.Net",
            "({}/faulty_e/__init__.py, line 3) failed: SystemExit: 3",
        ),
        (
            {"faulty_f.py": "import json\njson.loads('{')\n"},
            "faulty_f.Net",
            "({}/faulty_f.py, line 2) failed: JSONDecodeError",
        ),
    ],
)
def test_a_module_that_fails(files, name, words, project):
    for file, text in files.items():
        write(project / file, text)
    imports.add(project)
    with pytest.raises(UserError) as error:
        imports.find("model", name, KNOWN)
    assert words.format(project) in str(error.value)


def test_a_module_in_a_run_is_refused(project, tmp_path):
    run = write(tmp_path / "run" / "config.json", json.dumps(RUN)).parent
    for file in ("nets_r.py", "space_r/nets.py"):
        write(run / file, "raise ValueError")
    imports.add(run)
    assert str(run) not in sys.path
    for name in ("nets_r.Net", "space_r.nets.Net"):
        with pytest.raises(UserError) as error:
            imports.find("model", name, KNOWN)
        assert f"lies in {run}, the folder of a run" in str(error.value)
    # From the folder above, it has another name.
    imports.add(tmp_path)
    with pytest.raises(UserError, match="code in a run's folder is never executed"):
        imports.find("model", "run.nets_r.Net", KNOWN)


# ------------------------------------------------------------------------- two folders


@pytest.fixture
def two(tmp_path):
    """Two folders with modules of one name."""
    for folder in ("first", "second"):
        write(tmp_path / folder / "same_a.py", f"name = {folder!r}\n")
        write(tmp_path / folder / "same_b" / "part.py", f"name = {folder!r}\n")
    write(tmp_path / "second" / "own_a.py", "import same_a\nname = same_a.name\n")
    return tmp_path / "first", tmp_path / "second"


@pytest.mark.parametrize("early", [False, True], ids=["later", "before"])
@pytest.mark.parametrize("name", ["same_a.name", "same_b.part.name", "own_a.name"])
def test_modules_of_one_name_do_not_mix(name, early, two):
    first, second = two
    imports.add(first)
    if early and name != "own_a.name":
        assert imports.find("model", name, {}) == "first"
    if early and name == "own_a.name":
        __import__("same_a")
    imports.add(second)
    with pytest.raises(UserError) as error:
        imports.find("model", name, {})
    for folder in two:
        assert f"{folder}/same_" in str(error.value)


def test_folders_of_one_module_are_no_trouble(two, tmp_path):
    first, second = two
    (tmp_path / "link").symlink_to(first)
    for folder in (first, first, tmp_path / "link"):
        imports.add(folder)
    assert sys.path.count(str(first)) == 1
    assert imports.find("model", "same_a.name", {}) == "first"
    # Another folder with the name, which nobody imports from there.
    imports.add(second)
    write(second / "other_a.py", "name = 3")
    imports.add(second)
    assert imports.find("model", "other_a.name", {}) == 3


def test_a_folder_that_is_on_the_path_stays_where_it_is(two, monkeypatch):
    first, _ = two
    monkeypatch.chdir(first)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    imports.add(os.getcwd())
    assert str(first) not in sys.path and [str(first)] == guard.FOLDERS


# ------------------------------------------------------------------------------ origin


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_where_a_thing_came_from(project):
    write(project / "base_a.py", "class Base:\n    pass\n")
    write(
        project / "nets_d" / "__init__.py",
        "import collections\nfrom nets_d.impl import Net, make\n",
    )
    write(
        project / "nets_d" / "impl.py",
        "import base_a\nmake = print\n\n\nclass Net(base_a.Base, dict):\n    pass\n",
    )
    imports.add(project)
    files = ["nets_d/__init__.py", "nets_d/impl.py", "base_a.py"]
    expected = {file: sha(project / file) for file in files}
    assert imports.origin("nets_d.Net") == (str(project), expected)
    only = {files[0]: expected[files[0]]}
    assert imports.origin("nets_d.make") == (str(project), only)
    assert imports.digest(project / "none.py") is None


def test_the_root_of_a_path_is_found_without_an_import(project):
    write(project / "faulty_g" / "__init__.py", "raise ValueError")
    write(project / "space_g" / "nets.py", "raise ValueError")
    imports.add(project)
    for name in ("faulty_g.Net", "space_g.nets.Net", "nets_a.Net.Part"):
        assert imports.root(name) == str(project)
    for name in ("nothing_g.Net", "space_g.none.Net"):
        assert imports.root(name) is None
    by_hand = sys.modules["by_hand_g"] = ModuleType("by_hand_g")
    assert by_hand.__spec__ is None and imports.root("by_hand_g.Net") is None
    del sys.modules["by_hand_g"]
