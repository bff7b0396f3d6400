/* To be preloaded: the process ends without a word in its KILL_AT-th call that changes a file, after the call
 * was made if KILL_AFTER is set, before otherwise. A power cut, as far as a process can have one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

static int calls;

static int is_due(void) {
    const char *at = getenv("KILL_AT");
    return at && ++calls == atoi(at);
}

#define KILLED(result, call)                                                    \
    int due = is_due();                                                         \
    if (due && !getenv("KILL_AFTER")) kill(getpid(), SIGKILL);                  \
    result = call;                                                              \
    if (due) kill(getpid(), SIGKILL);                                           \
    return result

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int open(const char *file, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (!(flags & O_CREAT)) return NEXT(open)(file, flags);
    int result;
    KILLED(result, NEXT(open)(file, flags, mode));
}

ssize_t write(int to, const void *data, size_t bytes) {
    ssize_t result;
    KILLED(result, NEXT(write)(to, data, bytes));
}

int fsync(int of) {
    int result;
    KILLED(result, NEXT(fsync)(of));
}

int ftruncate(int of, off_t length) {
    int result;
    KILLED(result, NEXT(ftruncate)(of, length));
}

int rename(const char *from, const char *to) {
    int result;
    KILLED(result, NEXT(rename)(from, to));
}
