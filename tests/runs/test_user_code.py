"""Code of the user's that a run needs: who finds it again, and whether it changed."""

import json
import os
import sys

import pytest

from cnn_jax.core import guard, imports
from cnn_jax.core.errors import UserError
from cnn_jax.runs import user_code
from cnn_jax.training.config import Config, default

NETS = "class Net:\n    pass\n"


def write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cnn_jax"


@pytest.fixture
def project(tmp_path):
    write(tmp_path / "project" / "nets_u.py", NETS)
    imports.add(tmp_path / "project")
    return tmp_path / "project"


def forget():
    """Removes imported user code, as in a new process in another folder."""
    for name in ("nets_u", "other_u"):
        sys.modules.pop(name, None)
    sys.path[:] = [entry for entry in sys.path if entry not in guard.FOLDERS]
    guard.FOLDERS.clear()
    imports.FOLLOWED.clear()


def config_of(*names):
    """A config that names things of users, found as commands find them."""
    values = default().to_dict()
    for name in names:
        imports.find("model", name, {})
    values["model"]["name"] = f"fcos:{names[0]}" if names else "mlp"
    values["data"]["augmentations"] = names[1:]
    return Config(values)


def recorded(*names):
    return json.loads(json.dumps(user_code.record(config_of(*names))))


def test_a_config_without_code_of_users_has_no_record(project):
    assert recorded() == {}
    config = config_of()
    assert user_code.paths_in(config) == []
    # A name that looks like a path, and was not followed.
    assert user_code.paths_in(Config({"data": {"split": "nets_u.Net"}})) == []


def test_what_is_recorded(project):
    write(project / "other_u.py", "def turn():\n    pass\n")
    content = recorded("nets_u.Net", "other_u.turn")
    files = {
        name: {"folder": str(project), "files": {file: imports.digest(project / file)}}
        for name, file in (("nets_u.Net", "nets_u.py"), ("other_u.turn", "other_u.py"))
    }
    assert content["code"]["names"] == files
    assert len(content["code"]["signature"]) == 64


def test_an_installed_package_needs_no_folder():
    kept = recorded("flax.linen.Dense")["code"]["names"]["flax.linen.Dense"]
    assert kept["folder"] is None and "flax/linen/linear.py" in kept["files"]


def test_a_later_command_finds_the_code(project, tmp_path):
    content = recorded("nets_u.Net")
    forget()
    assert imports.root("nets_u.Net") is None
    assert user_code.restore(content, tmp_path) == []
    assert imports.find("model", "nets_u.Net", {}).__module__ == "nets_u"
    assert sys.path[-1] == str(project)


def unsigned(content):
    content["code"]["signature"] = None


def signed_by_another(content):
    content["code"]["signature"] = "0" * 64


def of_another_folder(content):
    kept = content["code"]["names"]["nets_u.Net"]
    kept["folder"] = os.path.join(kept["folder"], "..", "evil")


def of_another_name(content):
    names = content["code"]["names"]
    names["nets_u.Other"] = names.pop("nets_u.Net")


FORGERIES = [unsigned, signed_by_another, of_another_folder, of_another_name]


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_what_the_user_did_not_sign_puts_nothing_on_the_path(forge, project, tmp_path):
    write(tmp_path / "evil" / "nets_u.py", "raise ValueError")
    content = recorded("nets_u.Net")
    forge(content)
    forget()
    before = sys.path[:]
    with pytest.raises(UserError) as error:
        user_code.restore(content, tmp_path)
    assert sys.path == before and "\n" not in str(error.value)
    assert "because this user did not train the run: start the" in str(error.value)
    assert "or set PYTHONPATH to the project's folder." in str(error.value)
    # Started there, it is found.
    imports.add(project)
    assert user_code.restore(content, tmp_path) == []


def test_a_run_of_another_user(project, tmp_path, monkeypatch):
    content = recorded("nets_u.Net")
    forget()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    with pytest.raises(UserError, match="this user did not train the run"):
        user_code.restore(content, tmp_path)


def test_a_project_that_has_moved(project, tmp_path):
    content = recorded("nets_u.Net")
    forget()
    project.rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"which is no longer in .*: set PYTHONPATH"):
        user_code.restore(content, tmp_path)
    imports.add(tmp_path / "moved")
    assert user_code.restore(content, tmp_path) == []


def test_code_that_has_changed_is_one_warning(project, tmp_path):
    write(project / "other_u.py", "def turn():\n    pass\n")
    content = recorded("nets_u.Net", "other_u.turn")
    forget()
    for name in ("nets_u.py", "other_u.py"):
        with (project / name).open("a") as file:
            file.write("# changed\n")
    (warning,) = user_code.restore(content, tmp_path / "run")
    assert warning == (
        f"the code in {project}/other_u.py, {project}/nets_u.py has changed since the "
        f"run in {tmp_path}/run began."
    )
    # Nor does a run that goes on forget it.
    config = config_of("nets_u.Net")
    again = user_code.record(config, content)["code"]["names"]["nets_u.Net"]
    assert again == content["code"]["names"]["nets_u.Net"]


def test_another_project_of_the_name_is_not_mixed_up(project, tmp_path):
    content = recorded("nets_u.Net")
    forget()
    write(tmp_path / "elsewhere" / "nets_u.py", "class Net:\n    other = True\n")
    imports.add(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="two modules have the name 'nets_u'"):
        user_code.restore(content, tmp_path)


@pytest.mark.parametrize(
    "code",
    [
        3,
        [],
        {},
        {"names": []},
        {"names": {"a": {}}},
        {"names": {"a.b": 3}},
        {"names": {"a.b": {"folder": 3, "files": {}}}},
        {"names": {"a.b": {"folder": None, "files": []}}},
        {"names": {"a.b": {"folder": None, "files": {"a": 3}}}},
        {"names": {"a.b": {"folder": None, "files": {"/dev/zero": "0"}}}},
        {"names": {"a.b": {"folder": None, "files": {"a/../../b": "0"}}}},
        {"names": {"a.b": {"folder": None, "files": {"a\0": "0"}}}},
        {"names": {"__main__.b": {"folder": None, "files": {}}}},
    ],
)
def test_a_record_of_any_form(code, tmp_path):
    assert user_code.restore({"code": code}, tmp_path) == []
    assert user_code.restore({}, tmp_path) == []


# --------------------------------------------------------------------------------- key


def test_the_key_is_the_users_alone(project, cache):
    first = recorded("nets_u.Net")
    assert (cache / "key").stat().st_mode & 0o777 == 0o600
    assert (cache / "key").stat().st_size == 32
    assert sorted(os.listdir(cache)) == ["key"]
    assert recorded("nets_u.Net") == first
    (cache / "key").chmod(0o640)
    assert recorded("nets_u.Net")["code"]["signature"] is None


def test_without_a_folder_for_the_key_nothing_is_signed(project, tmp_path):
    write(tmp_path / "cache")  # no folder
    assert recorded("nets_u.Net")["code"]["signature"] is None


def test_another_process_is_first(project, cache, monkeypatch):
    link = os.link

    def late(source, target):
        write(cache / "key", "k" * 32).chmod(0o600)
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert len(recorded("nets_u.Net")["code"]["signature"]) == 64
    assert (cache / "key").read_text() == "k" * 32 and len(os.listdir(cache)) == 1


# ----------------------------------------------------------------------- where runs go


def test_a_run_does_not_bury_its_own_code(project, tmp_path):
    user_code.check_place(project)
    imports.find("model", "nets_u.Net", {})
    user_code.check_place(project / "runs" / "a")
    for place in (project, tmp_path):
        with pytest.raises(UserError, match=r"nets_u\.py, the code of"):
            user_code.check_place(place)
