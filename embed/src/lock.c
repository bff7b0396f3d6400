#define _GNU_SOURCE
#include "lock.h"

#include <errno.h>
#include <stdbool.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "files.h"

enum { POLL_MS = 20, SAY_AFTER_MS = 2000, GIVE_UP_AFTER_MS = 600 * 1000 };

static void holder(int descriptor, char *text, size_t room) {
    char written[20] = {0};
    ssize_t got = pread(descriptor, written, sizeof written - 1, 0);
    bool digits = got > 0 && strspn(written, "0123456789") == (size_t)got;
    snprintf(text, room, digits ? "process %s" : "an unknown process", written);
}

tipsc_code lock_take(lock *lock, const char *folder, tipsc_log log, void *user, tipsc_error *error) {
    char file[MOST_NAME], who[64], line[MOST_NAME + 200];
    const char *name = strrchr(folder, '/') + 1;
    if (snprintf(file, sizeof file, "%.*s.%s.lock", (int)(name - folder), folder, name) >= (int)sizeof file)
        return fail(error, TIPSC_USAGE, "use a shorter one", "%s: the name is too long", folder);
    lock->descriptor = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock->descriptor < 0)
        return fail(error, TIPSC_USAGE, "give a cache_dir that can be written and has room",
                    "%s: cannot keep the finalised engine: %s", file, strerror(errno));
    for (int waited = 0; flock(lock->descriptor, LOCK_EX | LOCK_NB); waited += POLL_MS) {
        if (errno != EWOULDBLOCK && errno != EINTR) break; /* no locks there: then the work is done twice */
        holder(lock->descriptor, who, sizeof who);
        if (waited >= GIVE_UP_AFTER_MS) {
            lock_give(lock);
            return fail(error, TIPSC_USAGE, "end that process, or give another cache_dir",
                        "%s: another process has held the cache's lock for 600 s (got %s)", file, who);
        }
        if (waited == SAY_AFTER_MS && log) {
            snprintf(line, sizeof line, "waiting for %s, which finalises the same engine (%s)", who, file);
            log(user, TIPSC_LOG_WARNING, line);
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    int length = snprintf(who, sizeof who, "%ld", (long)getpid());
    if (ftruncate(lock->descriptor, 0) == 0 && pwrite(lock->descriptor, who, (size_t)length, 0) != length)
        return TIPSC_OK; /* nobody is told who holds it */
    return TIPSC_OK;
}

void lock_give(lock *lock) { close(lock->descriptor); }
