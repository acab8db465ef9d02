"""The same run on one device, on two, and on two hosts."""

import json
import socket
import time

import numpy as np
import pytest

TWO = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
ARGUMENTS = [
    "--config=configs/resnet.py",
    "--config.model.stage_sizes=(1, 1, 1)",
    "--config.model.width=8",
    "--config.model.sync_batch_norm=True",
    "--config.train.steps=24",
    "--config.schedule.warmup_steps=4",
    "--config.train.log_every_steps=4",
    "--config.eval.every_steps=12",
]


@pytest.fixture(scope="module")
def two_devices(tmp_path_factory, run):
    workdir = tmp_path_factory.mktemp("two") / "run"
    out = run("main", *ARGUMENTS, f"--workdir={workdir}", env=TWO)
    assert "on 2 x" in out
    return workdir


@pytest.mark.full
def test_two_devices_train_as_one(two_devices, done, rows, tmp_path):
    workdir = tmp_path / "run"
    done("main", *ARGUMENTS, f"--workdir={workdir}")
    one, two = rows(workdir), rows(two_devices)
    assert [row.keys() for row in one] == [row.keys() for row in two]
    # Rounding differences grow from step to step.
    for ours, theirs in zip(one[:3], two[:3], strict=True):
        assert theirs == pytest.approx(ours, rel=1e-3)
    for ours, theirs in zip(one, two, strict=True):
        for key in ours.keys() & {"train/loss", "test/loss"}:
            assert theirs[key] == pytest.approx(ours[key], rel=0.1)


@pytest.mark.full
def test_without_synchronized_batch_norm_two_devices_differ(
    two_devices, run, rows, tmp_path
):
    """Without synchronization the results differ, so the test above can fail."""
    workdir = tmp_path / "run"
    last = "--config.model.sync_batch_norm=False"
    run("main", *ARGUMENTS, last, f"--workdir={workdir}", env=TWO)
    assert rows(workdir)[0] != pytest.approx(rows(two_devices)[0], rel=1e-3)


@pytest.mark.full
def test_a_checkpoint_of_two_devices_restores_on_one(two_devices, done, rows):
    found = json.loads(
        done(
            "evaluate", f"--workdir={two_devices}", "--checkpoint=last", "--format=json"
        )
    )
    measured = [row for row in rows(two_devices) if "test/loss" in row][-1]
    assert found["step"] == measured["step"] == 24
    assert found["test/accuracy"] == measured["test/accuracy"]
    assert found["test/loss"] == pytest.approx(measured["test/loss"], rel=1e-5)


@pytest.fixture(scope="module")
def start_hosts(launch):
    """`start_hosts(*flags)`: two processes of `main` on hosts of their own."""

    def start(*flags):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        return [
            launch(
                "main",
                *flags,
                "--distributed",
                # What Open MPI's mpirun sets for its processes.
                env={
                    "OMPI_MCA_orte_hnp_uri": "1.0;tcp://127.0.0.1:1",
                    "OMPI_COMM_WORLD_SIZE": "2",
                    "OMPI_COMM_WORLD_RANK": str(rank),
                    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
                    "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
                },
            )
            for rank in range(2)
        ]

    return start


@pytest.mark.full
def test_two_hosts_train_as_two_devices(two_devices, start_hosts, rows, tmp_path):
    workdir = tmp_path / "run"
    hosts = start_hosts(*ARGUMENTS, f"--workdir={workdir}")
    outputs = [host.communicate(timeout=300) for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], outputs
    # The second host leaves the talking to the first.
    assert "on 2 x" in outputs[0][0] and "test/loss" in outputs[0][0]
    assert "test/loss" not in outputs[1][0]
    one, two = rows(workdir), rows(two_devices)
    assert len(one) == len(two)
    for ours, theirs in zip(one[:3], two[:3], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
    ours, theirs = (
        np.load(folder / "predictions" / "test.npz")
        for folder in (workdir, two_devices)
    )
    for name in ("identity", "index", "label"):
        np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.mark.slow
@pytest.mark.parametrize("place", ["folder", "config.json", "metrics.jsonl"])
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_host_is_one_line_on_the_other(lost, place, start_hosts, tmp_path):
    """Killed as it claims the folder, compiles, or trains."""
    workdir = tmp_path / "run"
    flags = ["--config=configs/mlp.py", "--config.train.epochs=10000"]
    hosts = start_hosts(*flags, f"--workdir={workdir}")
    deadline = time.monotonic() + 200
    while not (workdir if place == "folder" else workdir / place).exists():
        assert time.monotonic() < deadline and hosts[0].poll() is None
        time.sleep(0.01)
    hosts[lost].kill()
    killed = time.monotonic()
    _, err = hosts[1 - lost].communicate(timeout=60)
    hosts[lost].communicate()
    assert time.monotonic() - killed < 30 and hosts[1 - lost].returncode == 1
    (line,) = [line for line in err.splitlines() if "error" in line.lower()]
    assert line.startswith(f"error: process {lost} (PID {hosts[lost].pid} on host ")
    assert err.splitlines()[-1] == line and "Traceback" not in err


@pytest.mark.full
@pytest.mark.parametrize("told", [0, 1])
def test_hosts_stop_together_and_go_on(told, start_hosts, tmp_path):
    """A scheduler tells one of them, or all."""
    workdir = tmp_path / "run"
    flags = ["--config=configs/mlp.py", "--config.train.epochs=10000"]
    hosts = start_hosts(*flags, f"--workdir={workdir}")
    deadline = time.monotonic() + 200
    while not (workdir / "metrics.jsonl").exists():
        assert time.monotonic() < deadline and hosts[0].poll() is None
        time.sleep(0.01)
    hosts[told].terminate()
    outputs = [host.communicate(timeout=120) for host in hosts]
    assert [host.returncode for host in hosts] == [143, 143], outputs
    assert all("Traceback" not in err for _, err in outputs)
    (step,) = (workdir / "checkpoints").iterdir()
    assert step.name.isdigit()


@pytest.mark.slow
def test_a_mistake_of_one_host_ends_both(start_hosts, tmp_path):
    """Process 0 alone looks at the folder."""
    (tmp_path / "results.json").write_text("{}")
    hosts = start_hosts("--config=configs/mlp.py", f"--workdir={tmp_path}")
    errors = [host.communicate(timeout=100)[1] for host in hosts]
    assert [host.returncode for host in hosts] == [1, 1]
    assert all("Traceback" not in err for err in errors)
