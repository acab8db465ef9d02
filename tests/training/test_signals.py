"""Signals end a run after its step, and a second one ends it at once."""

import os
import signal

import pytest

from cnn_jax.training import signals

CAUGHT = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.fixture
def handlers():
    """Yields the signals that the former handlers received; restores the handlers."""
    came = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in CAUGHT
    }
    yield came
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", CAUGHT)
def test_signals_are_noted_once_and_then_do_what_they_did(number, handlers):
    with signals.stop_signals() as stopped:
        assert not stopped
        os.kill(os.getpid(), number)
        assert stopped == [number] and not handlers
        os.kill(os.getpid(), number)
        assert stopped == [number] and handlers == [number]
    os.kill(os.getpid(), number)
    assert len(handlers) == 2


def test_the_console_is_told_when_it_stops(handlers, capfd):
    with signals.stop_signals("after this arm"):
        os.kill(os.getpid(), signal.SIGINT)
    assert capfd.readouterr().err == (
        "SIGINT: stopping after this arm; send SIGINT again to end at once\n"
    )


def test_handlers_come_back_after_an_error(handlers):
    before = [signal.getsignal(number) for number in CAUGHT]
    with pytest.raises(ZeroDivisionError), signals.stop_signals():
        assert [signal.getsignal(number) for number in CAUGHT] != before
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in CAUGHT] == before


def test_an_ignored_signal_stays_ignored(handlers):
    """`nohup` starts its program with SIGHUP ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with signals.stop_signals() as stopped:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not stopped
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_several_hosts_leave_sigterm_to_jax(handlers):
    """The other signals are passed on as one, so that every host hears of them."""
    with signals.stop_signals(hosts=2) as stopped:
        os.kill(os.getpid(), signal.SIGTERM)
        assert not stopped and handlers == [signal.SIGTERM]
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped == [signal.SIGINT]
    assert handlers == [signal.SIGTERM, signal.SIGTERM]


def test_a_stopped_run_ends_with_the_code_that_it_is_given():
    assert issubclass(signals.Stopped, SystemExit)
    assert signals.Stopped(143).code == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_for_an_item(number, handlers):
    def items():
        yield 1
        yield 2
        os.kill(os.getpid(), number)
        try:
            time.sleep(60)  # as at a file that nobody writes to
        except Exception:
            yield 3  # a reader takes it for the fault of the file

    with signals.stop_signals() as stopped:
        assert list(stopped.waiting(items())) == [1, 2]
    assert stopped == [number]


def test_a_signal_between_items_does_not(handlers):
    with signals.stop_signals() as stopped:
        found = []
        for item in stopped.waiting(iter("abc")):
            found.append(item)
            if item == "a":
                os.kill(os.getpid(), signal.SIGTERM)
    assert found == ["a", "b", "c"] and stopped == [signal.SIGTERM]
