/* Counts the calls that change what lies below a folder, and ends or fails the n-th.

   Loaded before the C library (LD_PRELOAD) into a process and all that it starts, which
   share one count. `__init__.py` beside this file sets the variables that are read here:

     FAULTS_FOLDER  the folder, without links in its path
     FAULTS_STATE   a folder outside of it: `count`, and a line for each call in `calls`
     FAULTS_AT      n, counted from 1; 0: nothing happens
     FAULTS_MODE    before, half (the first half of a write is done) or an error's number,
                    with which the n-th call and all later ones that need space fail
     FAULTS_GROUP   1: the process is killed with its group

   A line of `calls` is `number process call path`, the path as seen from the folder. The
   names of shared memory that is made go to `shared`.

   Python, libstdc++ and TensorStore call these functions by name, so they can be put in
   front of the C library's. A buffered fwrite, a mapping that is written to and a bare
   system call are not seen. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *folder, *state;
static long at;
static int group, half, error;
static atomic_long *count;

__attribute__((constructor)) static void begin(void) {
  char path[PATH_MAX];
  const char *mode = getenv("FAULTS_MODE");
  state = getenv("FAULTS_STATE");
  if (!state || !mode || !getenv("FAULTS_FOLDER")) return;
  at = atol(getenv("FAULTS_AT"));
  group = atoi(getenv("FAULTS_GROUP"));
  half = !strcmp(mode, "half");
  error = atoi(mode);
  snprintf(path, sizeof path, "%s/count", state);
  int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
  count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (count != MAP_FAILED) folder = getenv("FAULTS_FOLDER");
}

/* The path of a descriptor, or of a name in the folder of one, without links before the
   last part. */
static void locate(char *path, int fd, const char *name) {
  char link[64], place[PATH_MAX], *last;
  ssize_t length = 0;
  if (!name || name[0] != '/') {
    snprintf(link, sizeof link,
             fd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", fd);
    length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) length = 0;
  }
  path[length] = 0;
  if (!name) return;
  snprintf(path + length, PATH_MAX - length, length ? "/%s" : "%s", name);
  if (!(last = strrchr(path, '/'))) return;
  *last = 0;
  if (realpath(path, place))
    snprintf(path, PATH_MAX, "%s/%s", place, strdupa(last + 1));
  else
    *last = '/';
}

static int below(int fd, const char *name, char *path) {
  if (!folder) return 0;
  size_t length = strlen(folder);
  locate(path, fd, name);
  return !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static void die(void) {
  kill(group ? 0 : getpid(), SIGKILL);
  for (;;) pause();
}

static void note(const char *line, int length, const char *file) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", state, file);
  int fd = syscall(SYS_openat, AT_FDCWD, path,
                   O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  syscall(SYS_write, fd, line, length);
  close(fd);
}

/* Counts a call. Returns 0: go on; 1: do the half, then `die`; -1: fail, errno is set. */
static int visit(const char *call, int fd, const char *name, int needs_space) {
  char path[PATH_MAX], line[PATH_MAX + 64];
  int before = errno;
  if (!below(fd, name, path)) return errno = before, 0;
  long n = atomic_fetch_add(count, 1) + 1;
  int length = snprintf(line, sizeof line, "%ld %d %s %s\n", n, getpid(), call,
                        path + strlen(folder));
  note(line, length, "calls");
  errno = before;
  if (error && at && n >= at && needs_space) return errno = error, -1;
  if (error || n != at) return 0;
  if (!half) die();
  return 1;
}

#define REAL(type, name, parameters) \
  static type(*real) parameters; \
  if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name)

/* A function of names or a descriptor, `needs_space` if it can fail on a full disk. */
#define WRAP(name, parameters, values, fd, path, needs_space) \
  int name parameters { \
    REAL(int, name, parameters); \
    int fate = visit(#name, fd, path, needs_space); \
    int result = fate < 0 ? -1 : real values; \
    if (fate > 0) die(); \
    return result; \
  }

WRAP(mkdir, (const char *a, mode_t m), (a, m), AT_FDCWD, a, 1)
WRAP(mkdirat, (int d, const char *a, mode_t m), (d, a, m), d, a, 1)
WRAP(link, (const char *a, const char *b), (a, b), AT_FDCWD, b, 1)
WRAP(linkat, (int d, const char *a, int e, const char *b, int f), (d, a, e, b, f), e, b, 1)
WRAP(symlink, (const char *a, const char *b), (a, b), AT_FDCWD, b, 1)
WRAP(symlinkat, (const char *a, int d, const char *b), (a, d, b), d, b, 1)
WRAP(unlink, (const char *a), (a), AT_FDCWD, a, 0)
WRAP(unlinkat, (int d, const char *a, int f), (d, a, f), d, a, 0)
WRAP(rmdir, (const char *a), (a), AT_FDCWD, a, 0)
WRAP(truncate, (const char *a, off_t n), (a, n), AT_FDCWD, a, 0)
WRAP(truncate64, (const char *a, off64_t n), (a, n), AT_FDCWD, a, 0)
WRAP(ftruncate, (int d, off_t n), (d, n), d, NULL, 0)
WRAP(ftruncate64, (int d, off64_t n), (d, n), d, NULL, 0)
WRAP(fsync, (int d), (d), d, NULL, 1)
WRAP(fdatasync, (int d), (d), d, NULL, 1)

/* Renaming counts where either name lies below the folder. */
static int arrives(int fd, const char *name) {
  char path[PATH_MAX];
  return below(fd, name, path);
}
#define RENAME(name, parameters, values, d, a, e, b) \
  WRAP(name, parameters, values, arrives(e, b) ? e : d, arrives(e, b) ? b : a, 0)

RENAME(rename, (const char *a, const char *b), (a, b), AT_FDCWD, a, AT_FDCWD, b)
RENAME(renameat, (int d, const char *a, int e, const char *b), (d, a, e, b), d, a, e, b)
RENAME(renameat2, (int d, const char *a, int e, const char *b, unsigned f),
       (d, a, e, b, f), d, a, e, b)

/* Opening counts where it makes or empties a file. */
#define CHANGES(flags) (flags & (O_CREAT | O_TRUNC))
#define MODE(flags, mode) \
  va_list more; \
  va_start(more, flags); \
  int makes = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE; \
  mode_t mode = makes ? va_arg(more, mode_t) : 0; \
  va_end(more)

#define WRAP_OPEN(name) \
  int name(const char *a, int flags, ...) { \
    REAL(int, name, (const char *, int, ...)); \
    MODE(flags, mode); \
    int fate = CHANGES(flags) ? visit(#name, AT_FDCWD, a, 1) : 0; \
    int result = fate < 0 ? -1 : real(a, flags, mode); \
    if (fate > 0) die(); \
    return result; \
  }
#define WRAP_OPENAT(name) \
  int name(int d, const char *a, int flags, ...) { \
    REAL(int, name, (int, const char *, int, ...)); \
    MODE(flags, mode); \
    int fate = CHANGES(flags) ? visit(#name, d, a, 1) : 0; \
    int result = fate < 0 ? -1 : real(d, a, flags, mode); \
    if (fate > 0) die(); \
    return result; \
  }
WRAP_OPEN(open)
WRAP_OPEN(open64)
WRAP_OPENAT(openat)
WRAP_OPENAT(openat64)

/* Writes, of which the mode `half` leaves the first half. */
#define WRAP_WRITE(name, parameters, values, n) \
  ssize_t name parameters { \
    REAL(ssize_t, name, parameters); \
    int fate = visit(#name, d, NULL, 1); \
    if (fate < 0) return -1; \
    if (fate > 0) { \
      n /= 2; \
      real values; \
      die(); \
    } \
    return real values; \
  }
WRAP_WRITE(write, (int d, const void *a, size_t n), (d, a, n), n)
WRAP_WRITE(pwrite, (int d, const void *a, size_t n, off_t o), (d, a, n, o), n)
WRAP_WRITE(pwrite64, (int d, const void *a, size_t n, off64_t o), (d, a, n, o), n)
WRAP_WRITE(writev, (int d, const struct iovec *a, int n), (d, a, n), n)
WRAP_WRITE(sendfile, (int d, int s, off_t *o, size_t n), (d, s, o, n), n)
WRAP_WRITE(sendfile64, (int d, int s, off64_t *o, size_t n), (d, s, o, n), n)

int shm_open(const char *name, int flags, mode_t mode) {
  REAL(int, shm_open, (const char *, int, mode_t));
  char line[NAME_MAX + 2];
  if (folder && flags & O_CREAT)
    note(line, snprintf(line, sizeof line, "%s\n", name), "shared");
  return real(name, flags, mode);
}
