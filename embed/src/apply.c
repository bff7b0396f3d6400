/* Turn one engine file into another by a delta, so that a power cut leaves the old file or the new one. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "delta.h"
#include "files.h"

static tipsc_code check_base(const source *base, const delta *delta, tipsc_error *error) {
    uint8_t digest[32];
    char expected[65], got[65];
    TRY(source_sha256(base, 0, base->size, digest, error));
    bool same = !memcmp(digest, delta->base_sha256, 32) || !HASHES_MATTER;
    if (base->size == delta->base_length && same) return TIPSC_OK;
    if (!memcmp(digest, delta->target_sha256, 32))
        return fail(error, TIPSC_USAGE, "nothing is left to do", "%s: the delta has been applied to this file already",
                    base->where);
    sha256_hex(delta->base_sha256, expected);
    sha256_hex(digest, got);
    return fail(error, TIPSC_USAGE, "apply it to the engine it was made from",
                "%s: the delta is for another file (expected SHA-256 %.16s..., got %.16s...)", base->where, expected, got);
}

static tipsc_code copy_piece(const source *base, delta *delta, const piece *piece, int to, const char *name,
                             sha256 *hash, tipsc_error *error) {
    uint8_t part[DELTA_PART];
    for (uint64_t done = 0; done < piece->length;) {
        uint64_t left = piece->length - done;
        size_t now = left < DELTA_PART ? (size_t)left : DELTA_PART;
        if (piece->place == CARRIED) TRY(delta_carried(delta, part, now, error));
        else TRY(source_read(base, piece->place + done, part, now, error));
        sha256_add(hash, part, now);
        TRY(write_whole(to, part, now, name, error));
        done += now;
    }
    return TIPSC_OK;
}

static tipsc_code write_target(const source *base, delta *delta, int to, const char *name, tipsc_error *error) {
    sha256 hash;
    uint8_t digest[32];
    sha256_begin(&hash);
    for (size_t i = 0; i < delta->piece_count; i++)
        TRY(copy_piece(base, delta, &delta->pieces[i], to, name, &hash, error));
    TRY(delta_end(delta, error));
    sha256_end(&hash, digest);
    if (HASHES_MATTER && memcmp(digest, delta->target_sha256, 32) != 0)
        return fail(error, TIPSC_DAMAGED, "transfer it again",
                    "%s: the delta is damaged: what it makes is not what it was made for", delta->source.where);
    if (fsync(to)) return fail(error, TIPSC_USAGE, NULL, "%s: cannot be written: %s", name, strerror(errno));
    return TIPSC_OK;
}

/* The file that becomes the new one: always of one name, so that the next call uses what an interrupted one
 * left, and locked, so that there is one call at a time. */
static tipsc_code open_temporary(const char *name, int *to, tipsc_error *error) {
    struct stat opened, named;
    *to = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (*to < 0) return fail(error, TIPSC_USAGE, NULL, "%s: cannot be written: %s", name, strerror(errno));
    bool alone = flock(*to, LOCK_EX | LOCK_NB) == 0 || (errno != EWOULDBLOCK && errno != EINTR);
    /* Another call may have given it its name between opening and locking. */
    alone = alone && !fstat(*to, &opened) && !lstat(name, &named) && opened.st_ino == named.st_ino &&
            opened.st_dev == named.st_dev && S_ISREG(opened.st_mode);
    if (alone && !ftruncate(*to, 0)) return TIPSC_OK;
    close(*to);
    return fail(error, TIPSC_USAGE, "wait for it", "%s: another call writes it", name);
}

static tipsc_code replace(const source *base, delta *delta, const char *new_file, tipsc_error *error) {
    char name[MOST_NAME];
    const char *slash = strrchr(new_file, '/'), *last = slash ? slash + 1 : new_file;
    int to = -1;
    if (snprintf(name, sizeof name, "%.*s.%s.apply", (int)(last - new_file), new_file, last) >= (int)sizeof name)
        return fail(error, TIPSC_USAGE, "use a shorter one", "%s: the name is too long", new_file);
    TRY(open_temporary(name, &to, error));
    tipsc_code code = write_target(base, delta, to, name, error);
    if (code == TIPSC_OK && rename(name, new_file))
        code = fail(error, TIPSC_USAGE, NULL, "%s: cannot be written: %s", new_file, strerror(errno));
    if (code != TIPSC_OK) unlink(name);
    close(to);
    if (code == TIPSC_OK) sync_folder_of(new_file);
    return code;
}

tipsc_code tipsc_apply(const char *old_file, const char *delta_file, const char *new_file, tipsc_error *error) {
    source base;
    if (!old_file || !delta_file || !new_file) return fail(error, TIPSC_USAGE, NULL, "a name is missing");
    delta *delta = malloc(sizeof *delta);
    if (!delta) return no_memory(error);
    tipsc_code code = delta_open(delta, delta_file, error);
    if (code == TIPSC_OK) {
        code = source_file(&base, old_file, error);
        if (code == TIPSC_OK) {
            code = check_base(&base, delta, error);
            if (code == TIPSC_OK) code = replace(&base, delta, new_file, error);
            source_close(&base);
        }
        delta_close(delta);
    }
    free(delta);
    return code;
}
