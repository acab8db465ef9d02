"""Kills this process before a line of Python is run for the n-th time.

Python imports a module of this name as it starts. `faults.run(line=...)` puts it on the
path, and names the end of a file's path, the line and n in FAULTS_LINE.
"""

import os
import signal
import sys
import threading


def tracer(path: str, line: int, times: int):
    """The trace function of `sys.settrace`."""
    visits = 0

    def in_file(frame, event, argument):
        nonlocal visits
        if event == "line" and frame.f_lineno == line:
            visits += 1
            if visits == times:
                group = os.environ["FAULTS_GROUP"] == "1"
                os.kill(0 if group else os.getpid(), signal.SIGKILL)
        return in_file

    return lambda frame, event, argument: (
        in_file if frame.f_code.co_filename.endswith(path) else None
    )


if place := os.environ.get("FAULTS_LINE"):
    name, number, n = place.rsplit(":", 2)
    trace = tracer(name, int(number), int(n))
    threading.settrace(trace)
    sys.settrace(trace)
