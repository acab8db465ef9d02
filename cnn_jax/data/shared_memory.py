"""Names for shared memory, so that what a killed run left behind can be removed.

Workers hand batches over in shared memory, and wait for each other at semaphores.
Linux keeps both when all processes of a run are killed at once. Their names hold a
token of the run's main process, which holds a lock on a file of that name as long as
it lives; the kernel releases the lock. A process id would not do: it is given again,
and is another process in another container.
"""

import atexit
import contextlib
import fcntl
import functools
import os
import secrets
from multiprocessing import process, shared_memory
from pathlib import Path

FOLDER = Path("/dev/shm")  # where Linux has them; elsewhere nothing is removed


@functools.cache
def claim() -> str:
    """Removes what dead processes left; returns the prefix of this one's names."""
    prefix = f"cnn_jax_{secrets.token_hex(4)}_"
    if FOLDER.is_dir():
        with contextlib.suppress(OSError):
            remove_left_over(FOLDER)
            atexit.register(release, lock(FOLDER, prefix))
    # Python has no public way to choose these names.
    config = process.current_process()._config  # type: ignore[attr-defined]
    config["semprefix"] = f"/{prefix}"
    return prefix


def use(prefix: str) -> None:
    """Lets the names of all shared memory that this process makes begin so."""
    shared_memory._make_filename = (  # type: ignore[attr-defined]
        lambda: f"/{prefix}{secrets.token_hex(4)}"
    )


def lock(folder: Path, prefix: str) -> Path:
    """The file that says that the owner of the prefix lives: this process, to its end.

    Removing what is left over in this very moment may remove it: then it is made anew.
    """
    path = folder / f"{prefix}owner"
    while True:
        number = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(number, fcntl.LOCK_EX)
        if os.fstat(number).st_nlink:
            return path
        os.close(number)


def release(owner: Path) -> None:
    """Removes the owner's file, unless it leads to memory that is left over.

    A worker that is killed as it makes some tells nobody; the next start removes it.
    """
    prefix = owner.name.removesuffix("owner")
    if all(path == owner for path in owner.parent.glob(f"{prefix}*")):
        owner.unlink(missing_ok=True)


def remove_left_over(folder: Path) -> None:
    """Removes what this user's dead processes left in the folder."""
    for owner in folder.glob("cnn_jax_*_owner"):
        with contextlib.suppress(OSError), owner.open("rb") as file:
            if os.fstat(file.fileno()).st_uid != os.getuid():
                continue
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if it lives
            prefix = owner.name.removesuffix("owner")
            for path in folder.glob(f"*{prefix}*"):
                if path != owner:
                    path.unlink(missing_ok=True)
            owner.unlink()  # last: it leads to the others
