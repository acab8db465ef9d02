"""The processes of a run watch each other: what is said when one is gone."""

import json
import os
import socket
import threading

import pytest

from cnn_jax.errors import UserError
from cnn_jax.training import hosts

ENDED = "process 1 (PID 77 on host far) has ended before the run did"


class Ended(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def ended(monkeypatch):
    """What the process says as it ends."""
    said = []

    def leave(code):
        raise Ended(code)

    monkeypatch.setattr(hosts.os, "_exit", leave)
    monkeypatch.setattr(hosts.os, "write", lambda _, text: said.append(text.decode()))
    return said


@pytest.fixture
def pair():
    """A watch of one peer, the peer, and the connection's other end."""
    ours, theirs = socket.socketpair()
    peer = hosts.Peer(ours, 1, "far", 77)
    watch = hosts.Watch([peer])
    yield watch, peer, theirs
    theirs.close()
    ours.close()


def test_a_peer_that_ends_is_named(pair, ended):
    watch, peer, theirs = pair
    theirs.close()
    with pytest.raises(Ended) as end:
        watch.hear(peer)
    assert end.value.args == (1,)
    (line,) = ended
    assert line.startswith(f"error: {ENDED}") and line.count("\n") == 1
    assert "same command" in line and "last checkpoint" in line


def test_a_peer_that_says_goodbye_is_not(pair, ended):
    watch, peer, theirs = pair
    theirs.sendall(b'{"leaving": "well"}\n')
    watch.hear(peer)
    theirs.close()
    watch.hear(peer)
    assert not ended


def test_what_process_0_says_of_another_is_passed_on(pair, ended):
    watch, peer, theirs = pair
    theirs.sendall(b'{}\n{"end": "process 2 has')
    watch.hear(peer)
    theirs.sendall(b' ended."}\n')
    with pytest.raises(Ended):
        watch.hear(peer)
    assert ended == [f"error: process 2 has ended. {hosts.AGAIN}\n"]


def test_a_peer_that_is_silent_is_given_two_minutes(pair, ended):
    watch, peer, theirs = pair
    for _ in range(hosts.SILENT_BEATS):
        watch.beat()
    theirs.sendall(b"{}\n")
    watch.hear(peer)
    for _ in range(hosts.SILENT_BEATS):
        watch.beat()
    assert not ended
    with pytest.raises(Ended):
        watch.beat()
    assert "process 1 (PID 77 on host far) has not answered for 120 s" in ended[0]
    last = theirs.recv(65536).splitlines()[-1]
    assert "has not answered" in json.loads(last)["end"]  # to be read on waking up


def test_an_error_of_one_process_ends_the_others_after_a_while(pair, ended):
    watch, peer, theirs = pair
    theirs.sendall(b'{"leaving": "failed"}\n')
    watch.hear(peer)
    for _ in range(hosts.FAREWELL_BEATS):
        watch.beat()
    assert not ended  # it may find the same mistake
    with pytest.raises(Ended):
        watch.beat()
    assert "PID 77 on host far) ended with an error: see its output." in ended[0]


def test_who_has_told_the_error_says_no_more(pair, ended):
    watch, peer, theirs = pair
    watch.leave("failed")
    assert theirs.recv(100) == b'{"leaving": "failed"}\n'
    theirs.close()
    with pytest.raises(Ended):
        watch.hear(peer)
    assert not ended


def test_farewell(pair, ended, monkeypatch):
    watch, _, theirs = pair
    monkeypatch.setattr(hosts, "NOTICE_SECONDS", 0)
    with hosts.farewell():  # alone
        pass
    monkeypatch.setattr(hosts, "_watch", watch)
    with hosts.farewell():
        pass
    for error, how in [(SystemExit(143), "well"), (UserError("no"), "failed")]:
        with pytest.raises(type(error)), hosts.farewell():
            raise error
        assert json.loads(theirs.recv(100).splitlines()[-1]) == {"leaving": how}


def test_an_error_that_a_failed_peer_causes_is_not_shown(pair, ended, monkeypatch):
    watch, peer, theirs = pair
    monkeypatch.setattr(hosts, "NOTICE_SECONDS", 0)
    monkeypatch.setattr(hosts, "_watch", watch)
    theirs.sendall(b'{"leaving": "failed"}\n')
    watch.hear(peer)
    with pytest.raises(Ended), hosts.farewell():
        raise RuntimeError("Gloo all-reduce failed: connection closed by peer")
    assert "ended with an error: see its output." in ended[0]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_all_meet(monkeypatch):
    """Process 0 among strangers, and two others."""
    port, found = free_port(), {}
    main = threading.Thread(target=lambda: found.update(roll=roll(port, 3)))

    def roll(port, count):
        peers = hosts._call_roll(port, count)
        for peer in peers:
            peer.send(service=9, **hosts._self())
        return peers

    def report(number):
        found[number] = hosts._report("127.0.0.1", port, number)

    main.start()
    others = [threading.Thread(target=report, args=(n,)) for n in (1, 2)]
    others[0].start()
    others[0].join(0.5)
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
    others[1].start()
    for thread in (main, *others):
        thread.join(30)
    assert sorted(peer.number for peer in found["roll"]) == [1, 2]
    for number in (1, 2):
        peer, service = found[number]
        assert service == 9 and peer.number == 0
        assert f"PID {os.getpid()} on host {socket.gethostname()}" in peer.text


def test_who_never_joins_is_counted(monkeypatch):
    monkeypatch.setattr(hosts, "JOIN_SECONDS", 0.5)
    port, errors = free_port(), []

    def report():
        try:
            hosts._report("127.0.0.1", port, 2)
        except UserError as error:
            errors.append(str(error))

    other = threading.Thread(target=report)
    other.start()
    with pytest.raises(UserError) as error:
        hosts._call_roll(port, 4)
    other.join(30)
    assert errors == [str(error.value)]
    assert str(error.value).startswith(
        "2 of 4 processes joined within 0.5 s; missing: 1, 3."
    )


def test_process_0_never_starts(monkeypatch):
    monkeypatch.setattr(hosts, "JOIN_SECONDS", 0)
    port = free_port()
    with pytest.raises(UserError, match=rf"process 0 does not answer at .*:{port}, "):
        hosts._report("127.0.0.1", port, 1)


def test_a_port_that_is_taken():
    with (
        hosts._listen(0) as taken,
        pytest.raises(UserError, match=r"cannot listen .* Is another run there"),
    ):
        hosts._call_roll(taken.getsockname()[1], 2)


def test_one_process_needs_no_others():
    assert hosts.join("127.0.0.1:1", 1, 0) == ("127.0.0.1:1", None)


def test_the_relay_outlives_the_service():
    with socket.create_server(("127.0.0.1", 0)) as service:
        port = hosts._relay("127.0.0.1", service.getsockname()[1])
        inside = socket.create_connection(("127.0.0.1", port))
        outside, _ = service.accept()
    inside.sendall(b"question")
    assert outside.recv(100) == b"question"
    outside.sendall(b"answer")
    assert inside.recv(100) == b"answer"
    outside.close()
    inside.settimeout(0.2)
    with pytest.raises(TimeoutError):
        inside.recv(100)
    inside.close()
