"""The processes of a run watch each other: what is said when one is gone."""

import json
import socket

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.training import hosts

ENDED = "process 1 (PID 77 on host far) ended before the run was complete"


class Ended(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def ended(monkeypatch):
    """Returns the list of the messages that the process writes when it ends."""
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
    assert (
        "PID 77 on host far) ended with an error: see the output of this process."
        in ended[0]
    )


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
    assert "ended with an error: see the output of this process." in ended[0]
