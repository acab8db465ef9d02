"""The start of a command: huge pages, compilation cache, startup time.

JAX's own settings of the compilation cache take precedence: the environment variable
JAX_COMPILATION_CACHE_DIR selects another folder, and JAX_ENABLE_COMPILATION_CACHE=0
turns the cache off. Functions that need JAX import it themselves, so importing this
file is fast.
"""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

MAX_BYTES = 2 * 2**30
# A small program takes 10 to 70 ms to compile and 1 to 5 ms to load.
MIN_SECONDS = 0.0
COMPILATION = "/jax/core/compile/"  # tracing, lowering, compiling or loading
HUGE_PAGES = "glibc.malloc.hugetlb"
KERNEL_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def use_huge_pages() -> None:
    """Starts this process again so that malloc asks Linux for huge pages.

    XLA's CPU client frees the temporary memory of a program after every call: about 300
    MB per step for a ResNet-20 at batch size 128. To allocate this memory again causes
    75,000 page faults with pages of 4 KiB, which takes a quarter of the step's time.
    With pages of 2 MiB, there are 300 page faults. glibc (2.35 and later) reads the
    setting only when a process starts.

    The function does nothing in these cases:

    * Linux gives huge pages to no program, or to all programs.
    * The user has set the option; GLIBC_TUNABLES=glibc.malloc.hugetlb=0 turns huge
      pages off.
    * The process has already imported JAX, so it was not started by a command of this
      package.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if sys.platform != "linux" or "jax" in sys.modules or HUGE_PAGES in tunables:
        return
    try:
        if "[madvise]" not in KERNEL_PAGES.read_text():
            return
    except OSError:
        return
    environment = os.environ | {
        "GLIBC_TUNABLES": ":".join(filter(None, [tunables, f"{HUGE_PAGES}=1"]))
    }
    sys.stdout.flush()
    with contextlib.suppress(OSError):  # then continue without huge pages
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def cache_folder() -> Path:
    """Returns the default folder of the compilation cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "cnn_jax" / "compilation"


def use_cache() -> None:
    """Turns on the compilation cache, unless JAX's own settings configure it.

    Call this function before JAX compiles a program. If the cache's folder cannot be
    written, the function prints a warning on stderr, and there is no cache.
    """
    import jax

    config, environment = jax.config, os.environ
    given = config.values
    if not given["jax_enable_compilation_cache"]:
        return
    if given["jax_compilation_cache_dir"] or "JAX_COMPILATION_CACHE_DIR" in environment:
        return
    try:
        folder = cache_folder()
        # Whoever can write there can run any program as this user.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except (OSError, RuntimeError) as error:  # RuntimeError: no home
        reason = getattr(error, "strerror", None) or error
        place = getattr(error, "filename", None) or "the user's cache folder"
        print(
            f"warning: {place}: {reason}. Compiled programs are not cached.",
            file=sys.stderr,
        )
        return
    trim(folder, MAX_BYTES)
    config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in environment:
        config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)


def trim(folder: Path, most: int) -> None:
    """Removes compiled programs from the cache, the least recently used first.

    JAX's own limit, `jax_compilation_cache_max_size`, is not used. It needs another
    package, takes a lock at every access, and works only if it was set before the first
    write to the folder.

    Args:
      folder: the folder of the cache.
      most: the greatest total size of the remaining programs, in bytes.
    """
    found = []
    for path in folder.glob("*-cache"):
        with contextlib.suppress(FileNotFoundError):  # another process removed it
            facts = path.stat()
            used = max(facts.st_atime, facts.st_mtime)
            found.append((used, facts.st_size, path))
    excess = sum(size for _, size, _ in found) - most
    for _, size, path in sorted(found):
        if excess <= 0:
            return
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            excess -= size


class Clock:
    """A clock that measures the time from the start of the process to the first step.

    The clock starts when the instance is made.
    """

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._seconds: dict[str, float] = {}
        self._spans: list[tuple[float, float]] = []
        self._running = self._listening = False

    def imported(self) -> None:
        """Records the time since the start of the process as the time of imports.

        If a run has already begun, this method does nothing.
        """
        if not self._listening:
            self._seconds = {"imports": time.perf_counter() - self._begun}

    def begin(self) -> None:
        """Starts to measure the startup time of a run.

        The startup time of a command's first run begins with the process.
        """
        from jax import monitoring

        if self._running or not self._seconds:
            self._begun, self._seconds = time.perf_counter(), {}
        self._spans, self._running = [], True
        if not self._listening:
            monitoring.register_event_time_span_listener(self._event)
            self._listening = True

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Returns a context that measures the time of a block.

        The time is added to the part `name` of the startup time, unless the first step
        of the run is already complete.
        """
        begun = time.perf_counter()
        try:
            yield
        finally:
            if self._running:
                seconds = time.perf_counter() - begun
                self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def stop(self) -> dict[str, float] | None:
        """Ends the measurement of a run's startup time.

        Returns:
          The startup time ("seconds") and the times of its parts, such as "imports" and
          "compilation", in seconds. The sum of the parts is less than the startup time,
          because starting the devices, checkpoints and the step itself are not
          measured. Later calls return None.
        """
        if not self._running:
            return None
        parts = {"imports": 0.0, "data": 0.0} | self._seconds
        parts["compilation"] = union(self._spans)
        self._running, self._seconds, self._spans = False, {}, []
        return {"seconds": time.perf_counter() - self._begun} | parts

    def _event(
        self, event: str, start_time: float, end_time: float, **_: str | int
    ) -> None:
        if self._running and event.startswith(COMPILATION):
            self._spans.append((start_time, end_time))


def union(spans: list[tuple[float, float]]) -> float:
    """Returns the total time that is covered by time spans, which may overlap.

    Args:
      spans: the start and the end of each time span.
    """
    total, reach = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(end - max(start, reach), 0.0)
        reach = max(reach, end)
    return total


def line(seconds: dict[str, float]) -> str:
    """Returns a line such as `first step after 6.1 s: 2.3 s imports, 0.2 s data, ...`.

    Args:
      seconds: the result of `Clock.stop`.
    """
    parts = [f"{value:.1f} s {name}" for name, value in seconds.items()]
    return f"first step after {seconds['seconds']:.1f} s: {', '.join(parts[1:])}"


CLOCK = Clock()
