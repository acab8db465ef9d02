"""Names of shared memory by which a later run can remove what a killed run left.

Worker processes pass batches to the main process in shared memory, and wait for each
other at semaphores. If all processes of a run are killed at once, Linux keeps the
shared memory and the semaphores. To find them, their names contain a random token of
the run's main process. The main process also holds a lock on a file whose name contains
the token. When the main process ends, the kernel releases the lock, and a later run
sees that the process is dead. A process id could not replace the token: ids are reused,
and processes in other containers have the same ids.
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
    """Returns the prefix for the names of this process's shared memory and semaphores.

    The function also removes the shared memory and semaphores of dead processes.
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
    """Sets the start of the names of all new shared memory in this process.

    Args:
      prefix: the start of the names, from `claim`.
    """
    shared_memory._make_filename = (  # type: ignore[attr-defined]
        lambda: f"/{prefix}{secrets.token_hex(4)}"
    )


def lock(folder: Path, prefix: str) -> Path:
    """Returns the path of the owner's file, which is locked until this process ends.

    The lock tells other processes that the owner of the prefix, this process, is alive.
    A process that removes the files of dead processes may delete this file before it is
    locked. Then the file is made again.

    Args:
      folder: the folder of the file.
      prefix: the prefix of this process; see `claim`.
    """
    path = folder / f"{prefix}owner"
    while True:
        number = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(number, fcntl.LOCK_EX)
        if os.fstat(number).st_nlink:
            return path
        os.close(number)


def release(owner: Path) -> None:
    """Removes the owner's file, unless shared memory with the owner's prefix exists.

    A killed worker may leave shared memory that no process knows. Then the owner's file
    is kept, and `remove_left_over` of a later run removes the shared memory and the
    file.

    Args:
      owner: the path of the owner's file; see `lock`.
    """
    prefix = owner.name.removesuffix("owner")
    if all(path == owner for path in owner.parent.glob(f"{prefix}*")):
        owner.unlink(missing_ok=True)


def remove_left_over(folder: Path) -> None:
    """Removes the shared memory and the semaphores of this user's dead processes.

    Args:
      folder: the folder in which Linux keeps shared memory and semaphores.
    """
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
