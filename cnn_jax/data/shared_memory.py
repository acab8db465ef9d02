"""Names of shared memory that let a later run remove the leftovers of a killed run.

Workers hand over batches in shared memory, and wait for each other at semaphores. Linux
keeps both if all processes of a run are killed at once. Their names contain a token of
the run's main process. This process holds a lock on a file with the token in its name
as long as it lives, and the kernel then releases the lock. A process id cannot be the
token: ids are reused, and other containers have the same ids.
"""

import atexit
import contextlib
import fcntl
import functools
import os
import secrets
from multiprocessing import process, shared_memory
from pathlib import Path

FOLDER = Path("/dev/shm")  # where Linux keeps them; on other systems nothing is removed


@functools.cache
def claim() -> str:
    """Removes the leftovers of dead processes, and returns the prefix of this process.

    Names of this process's shared memory and semaphores start with the prefix.
    """
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
    """Makes the names of all shared memory of this process start with `prefix`."""
    shared_memory._make_filename = (  # type: ignore[attr-defined]
        lambda: f"/{prefix}{secrets.token_hex(4)}"
    )


def lock(folder: Path, prefix: str) -> Path:
    """Returns the owner's file, locked until the end of this process.

    The lock says that the owner of the prefix lives. Another process that removes
    leftovers may delete the file before it is locked; then the file is made again.
    """
    path = folder / f"{prefix}owner"
    while True:
        number = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(number, fcntl.LOCK_EX)
        if os.fstat(number).st_nlink:
            return path
        os.close(number)


def release(owner: Path) -> None:
    """Removes the owner's file, unless shared memory of its prefix is left.

    A worker that is killed may leave shared memory that nobody else knows of; the next
    start finds it by the owner's file and removes it.
    """
    prefix = owner.name.removesuffix("owner")
    if all(path == owner for path in owner.parent.glob(f"{prefix}*")):
        owner.unlink(missing_ok=True)


def remove_left_over(folder: Path) -> None:
    """Removes the leftovers of this user's dead processes in the folder."""
    for owner in folder.glob("cnn_jax_*_owner"):
        with contextlib.suppress(OSError), owner.open("rb") as file:
            if os.fstat(file.fileno()).st_uid != os.getuid():
                continue
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if it lives
            prefix = owner.name.removesuffix("owner")
            for path in folder.glob(f"*{prefix}*"):
                if path != owner:
                    path.unlink(missing_ok=True)
            owner.unlink()  # last, because it leads to the others
