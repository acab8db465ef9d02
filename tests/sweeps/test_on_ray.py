"""Runs on a Ray cluster of two machines, one of which is lost."""

import json
import textwrap
import time
from types import SimpleNamespace

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import experiment, on_ray
from cnn_jax.sweeps.run import Run, incomplete
from cnn_jax.training.config import Config

ray = pytest.importorskip("ray")

EXPERIMENT = """
    from cnn_jax.training import recipes


    def get_config(arg=None):
        config = recipes.digits()
        config.model = {"name": "mlp", "hidden": (8,)}
        config.train = {"steps": 2000}
        config.eval = {"every_steps": 100}
        return config


    def sweep():
        yield "base", {}
        yield "wide", {"model.hidden": (12,)}
"""


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two machines (processes on this one) with a processor each."""
    from ray.cluster_utils import Cluster

    # Else a machine's loss is noticed only after half a minute.
    system = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": system}
    made = Cluster(initialize_head=True, head_node_args=head)
    second = made.add_node(num_cpus=1)
    connected = on_ray.connect(made.address)
    yield made, second
    connected.shutdown()
    made.shutdown()


def load(tmp_path, name):
    path = tmp_path / "width.py"
    path.write_text(textwrap.dedent(EXPERIMENT).lstrip())
    runs = experiment.load(str(path), tmp_path / name, overrides={}, seeds=(0,)).runs
    return runs


@pytest.mark.full
def test_more_than_any_machine_has(cluster, tmp_path):
    runs = load(tmp_path, "large")
    with pytest.raises(UserError, match=r"no machine .* --num_cpus=7 .* 1 and 0, 1"):
        list(on_ray.launch(runs, [], ray=ray, num_cpus=7.0, num_gpus=0.0))
    assert not runs[0].workdir.exists()


@pytest.mark.full
def test_a_machine_is_lost_while_a_run_is_on_it(cluster, tmp_path):
    made, second = cluster
    runs = load(tmp_path, "sweep")
    events = on_ray.launch(runs, [], ray=ray, num_cpus=1.0, num_gpus=0.0)
    assert [next(events)[0] for _ in runs] == list(runs)
    until = time.monotonic() + 120
    while not all(list(run.workdir.glob("checkpoints/*00")) for run in runs):
        assert time.monotonic() < until
        time.sleep(0.1)
    made.remove_node(second, allow_graceful=False)
    ended = dict(events)
    assert {run.arm: outcome.status for run, outcome in ended.items()} == {
        "base": "done",
        "wide": "done",
    }
    logs = [(run.workdir / "log.txt").read_text() for run in runs]
    resumed = [log for log in logs if "resuming from step" in log]
    assert len(resumed) == 1
    for run in runs:
        lines = (run.workdir / "metrics.jsonl").read_text().splitlines()
        tested = [json.loads(line)["step"] for line in lines if "val/loss" in line]
        assert tested == list(range(100, 2001, 100))


@pytest.mark.parametrize(
    ("cpus", "gpus", "room"),
    [(1.0, 0.0, 6), (2.0, 0.0, 3), (1.0, 1.0, 2), (0.0, 0.5, 4), (0.0, 0.0, 6)],
)
def test_room_for_runs(cpus, gpus, room):
    nodes = [
        {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 2.0}},
        {"Alive": True, "Resources": {"CPU": 2.0}},
        {"Alive": False, "Resources": {"CPU": 64.0}},
    ]
    cluster = SimpleNamespace(nodes=lambda: nodes)
    assert on_ray._room(cluster, cpus, gpus) == room


class Tasks:
    """A cluster with one CPU, whose tasks end when Ray is asked for them."""

    exceptions = ray.exceptions

    def __init__(self):
        self.canceled, self.most = [], 0

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": 1.0}}]

    def remote(self, **_):
        return lambda _: SimpleNamespace(remote=lambda command, *_: command[0])

    def wait(self, pending, timeout):
        self.most = max(self.most, len(pending))
        return pending[:1], pending[1:]

    def cancel(self, reference):
        self.canceled.append(reference)

    def get(self, reference):
        if reference in self.canceled:
            raise ray.exceptions.TaskCancelledError
        return 0


def test_runs_are_made_when_the_cluster_has_room(tmp_path):
    runs = [Run(n, 0, Config({}), tmp_path / n, (n,)) for n in "abc"]
    options = {"num_cpus": 1.0, "num_gpus": 0.0}
    for given, most in ((runs, 3), (iter(runs), 1)):
        cluster = Tasks()
        events = on_ray.launch(
            given, [], lambda run: run.arm == "b", ray=cluster, **options
        )
        outcomes = {run.arm: outcome.status for run, outcome in events if outcome}
        assert cluster.most == most and cluster.canceled == ["b"]
        assert outcomes["b"] == "stopped" and list(outcomes) == ["a", "b", "c"]


@pytest.mark.full
def test_canceled_runs_can_go_on(cluster, tmp_path):
    runs, stopped = load(tmp_path, "stopped"), []
    events = on_ray.launch(runs, stopped, ray=ray, num_cpus=1.0, num_gpus=0.0)
    for _ in runs:
        next(events)
    until = time.monotonic() + 120
    while not any(list(run.workdir.glob("checkpoints/*00")) for run in runs):
        assert time.monotonic() < until
        time.sleep(0.1)
    stopped.append("SIGTERM")
    assert {outcome.status for _, outcome in events} <= {"stopped", "done"}
    assert len(incomplete(runs)) >= 1


@pytest.mark.full
def test_no_cluster_at_the_address(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="--ray_address=nowhere"):
        on_ray.connect("nowhere")


def test_workers_search_no_folder_of_a_run(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(ray, "init", lambda **given: found.append(given["runtime_env"]))
    monkeypatch.chdir(tmp_path)
    on_ray.connect("localhost:1")
    (tmp_path / "config.json").write_text('{"config_hash": 0}')
    on_ray.connect("localhost:1")
    places = [given["env_vars"]["PYTHONPATH"] for given in found]
    assert places == [str(tmp_path), ""]


def test_runs_that_share_a_gpu_share_its_memory(tmp_path, monkeypatch):
    monkeypatch.delenv("XLA_CLIENT_MEM_FRACTION", raising=False)
    log, echo = tmp_path / "log.txt", ("sh", "-c", "echo [$XLA_CLIENT_MEM_FRACTION]")
    for num_gpus in (0.25, 0.0, 1.0):
        assert on_ray.train(echo, str(log), str(tmp_path), num_gpus) == 0
    assert log.read_text().splitlines() == ["[0.225]", "[]", "[]"]
    monkeypatch.setenv("XLA_CLIENT_MEM_FRACTION", "0.5")
    monkeypatch.setattr(on_ray, "_check", lambda *_: None)
    events = on_ray.launch([], [], ray=ray, num_cpus=1.0, num_gpus=0.25)
    with pytest.raises(UserError, match="XLA_CLIENT_MEM_FRACTION"):
        list(events)
