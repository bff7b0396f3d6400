#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

tipsc_code open_regular(const char *file, int *descriptor, tipsc_error *error) {
    /* Without O_NONBLOCK, opening a pipe waits for a writer. */
    int found = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (found < 0) return fail(error, TIPSC_USAGE, NULL, "%s: cannot be opened: %s", file, strerror(errno));
    struct stat about;
    if (fstat(found, &about) || !S_ISREG(about.st_mode)) {
        close(found);
        return fail(error, TIPSC_USAGE, NULL, "%s: it is no regular file", file);
    }
    *descriptor = found;
    return TIPSC_OK;
}

tipsc_code write_whole(int descriptor, const void *data, size_t bytes, const char *what, tipsc_error *error) {
    for (size_t done = 0; done < bytes;) {
        ssize_t put = write(descriptor, (const char *)data + done, bytes - done);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0)
            return fail(error, TIPSC_USAGE, "make room, or name another place", "%s: cannot be written: %s", what,
                        strerror(errno));
        done += (size_t)put;
    }
    return TIPSC_OK;
}

void sync_folder(const char *folder) {
    int found = open(folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (found < 0) return;
    fsync(found);
    close(found);
}

void sync_folder_of(const char *file) {
    char folder[MOST_NAME];
    const char *slash = strrchr(file, '/');
    size_t length = slash ? (size_t)(slash - file) : 0;
    if (length >= sizeof folder) return;
    memcpy(folder, file, length);
    folder[length] = 0;
    sync_folder(!slash ? "." : length ? folder : "/");
}

tipsc_code joined(char *into, const char *folder, const char *name, tipsc_error *error) {
    int length = snprintf(into, MOST_NAME, "%s/%s", folder, name);
    if (length < 0 || length >= MOST_NAME)
        return fail(error, TIPSC_USAGE, "use a shorter one", "%s: the name is too long", name);
    return TIPSC_OK;
}

tipsc_code read_file(const char *file, uint64_t most, void **content, size_t *bytes, tipsc_error *error) {
    int descriptor;
    TRY(open_regular(file, &descriptor, error));
    struct stat about;
    if (fstat(descriptor, &about) || (uint64_t)about.st_size > most) {
        close(descriptor);
        return fail(error, TIPSC_DAMAGED, NULL, "%s: it is longer than %llu bytes", file, (unsigned long long)most);
    }
    size_t size = (size_t)about.st_size, done = 0;
    char *found = malloc(size + 1);
    while (found && done < size) {
        ssize_t got = pread(descriptor, found + done, size - done, (off_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        done += (size_t)got;
    }
    close(descriptor);
    if (!found) return no_memory(error);
    if (done < size) {
        free(found);
        return fail(error, TIPSC_USAGE, NULL, "%s: cannot be read to its end", file);
    }
    found[size] = 0;
    *content = found;
    *bytes = size;
    return TIPSC_OK;
}

tipsc_code write_file(const char *file, const void *data, size_t bytes, tipsc_error *error) {
    int to = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (to < 0) return fail(error, TIPSC_USAGE, NULL, "%s: cannot be written: %s", file, strerror(errno));
    tipsc_code code = write_whole(to, data, bytes, file, error);
    if (code == TIPSC_OK && fsync(to))
        code = fail(error, TIPSC_USAGE, NULL, "%s: cannot be written: %s", file, strerror(errno));
    if (close(to) && code == TIPSC_OK)
        code = fail(error, TIPSC_USAGE, NULL, "%s: cannot be written: %s", file, strerror(errno));
    return code;
}
