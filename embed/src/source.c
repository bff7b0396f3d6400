#define _GNU_SOURCE
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

enum { PART = 1 << 16 };

#if defined(__APPLE__)
#define WRITTEN(found) ((found).st_mtimespec)
#else
#define WRITTEN(found) ((found).st_mtim)
#endif

tipsc_code source_file(source *source, const char *file, tipsc_error *error) {
    *source = (struct source){.where = file, .descriptor = -1};
    TRY(open_regular(file, &source->descriptor, error));
    struct stat found;
    if (fstat(source->descriptor, &found)) {
        source_close(source);
        return fail(error, TIPSC_USAGE, NULL, "%s: cannot be looked at: %s", file, strerror(errno));
    }
    source->size = (uint64_t)found.st_size;
    source->written = WRITTEN(found);
    return TIPSC_OK;
}

void source_memory(source *source, const void *data, size_t bytes) {
    *source = (struct source){.where = "engine", .memory = data, .descriptor = -1, .size = bytes};
}

void source_close(source *source) {
    if (source->descriptor >= 0) close(source->descriptor);
    source->descriptor = -1;
}

static tipsc_code changed(const source *source, const char *how, tipsc_error *error) {
    return fail(error, TIPSC_DAMAGED, "open it again; to replace an engine rename the new file over it (mv, not cp)",
                "%s: the file was written to while it was open (got %s)", source->where, how);
}

tipsc_code source_read(const source *source, uint64_t offset, void *into, size_t bytes, tipsc_error *error) {
    if (offset > source->size || bytes > source->size - offset)
        return fail(error, TIPSC_DAMAGED, REBUILD, "%s: the file ends too early", source->where);
    if (source->memory) {
        if (bytes) memcpy(into, source->memory + offset, bytes);
        return TIPSC_OK;
    }
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread(source->descriptor, (char *)into + done, bytes - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            return fail(error, TIPSC_USAGE, NULL, "%s: cannot be read: %s", source->where, strerror(errno));
        if (got == 0) return changed(source, "it has become shorter", error);
        done += (size_t)got;
    }
    return TIPSC_OK;
}

tipsc_code source_view(const source *source, uint64_t offset, uint64_t bytes, const uint8_t **data, void **owned,
                       tipsc_error *error) {
    *owned = NULL;
    if (source->memory && offset <= source->size && bytes <= source->size - offset) {
        *data = source->memory + offset;
        return TIPSC_OK;
    }
    void *copy = bytes < SIZE_MAX ? malloc((size_t)bytes + 1) : NULL;
    if (!copy) return no_memory(error);
    tipsc_code code = source_read(source, offset, copy, (size_t)bytes, error);
    if (code != TIPSC_OK) free(copy);
    else *data = *owned = copy;
    return code;
}

tipsc_code source_sha256(const source *source, uint64_t offset, uint64_t bytes, uint8_t digest[32],
                         tipsc_error *error) {
    sha256 hash;
    sha256_begin(&hash);
    uint8_t part[PART];
    while (bytes) {
        size_t now = bytes < PART ? (size_t)bytes : PART;
        TRY(source_read(source, offset, part, now, error));
        sha256_add(&hash, part, now);
        offset += now;
        bytes -= now;
    }
    sha256_end(&hash, digest);
    return TIPSC_OK;
}

tipsc_code source_copy(const source *source, uint64_t offset, uint64_t bytes, int to, tipsc_error *error) {
    uint8_t part[PART];
    while (bytes) {
        size_t now = bytes < PART ? (size_t)bytes : PART;
        TRY(source_read(source, offset, part, now, error));
        TRY(write_whole(to, part, now, "the finalised engine", error));
        offset += now;
        bytes -= now;
    }
    return TIPSC_OK;
}

tipsc_code source_unchanged(const source *source, tipsc_error *error) {
    if (source->descriptor < 0) return TIPSC_OK;
    struct stat found;
    if (fstat(source->descriptor, &found) || (uint64_t)found.st_size != source->size ||
        WRITTEN(found).tv_sec != source->written.tv_sec || WRITTEN(found).tv_nsec != source->written.tv_nsec)
        return changed(source, "another size or time of writing than when it was opened", error);
    return TIPSC_OK;
}
