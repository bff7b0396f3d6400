/* Deltas, applied to a base of 8 KiB. The mutator unpacks what stands behind the header, changes that, and
 * packs it again: what zlib refuses is not worth many runs. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "tipsc.h"

enum { BASE = 8192, HEAD = 136, MOST = 1 << 16 };

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64], base[80], delta[80], made[80];

static void write_file(const char *name, const void *data, size_t size) {
    int to = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (to < 0 || write(to, data, size) != (ssize_t)size || close(to)) abort();
}

static void begin(void) {
    uint8_t content[BASE];
    snprintf(folder, sizeof folder, "%s/tipsc-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(folder)) abort();
    snprintf(base, sizeof base, "%s/base", folder);
    snprintf(delta, sizeof delta, "%s/delta", folder);
    snprintf(made, sizeof made, "%s/made", folder);
    for (int i = 0; i < BASE; i++) content[i] = (uint8_t)(i * 7 + i / 256);
    write_file(base, content, BASE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tipsc_error error = {.size = sizeof error};
    struct stat found;
    if (!folder[0]) begin();
    write_file(delta, data, size);
    if (tipsc_apply(base, delta, made, &error)) {
        if (!access(made, F_OK)) abort(); /* nothing is left of what failed */
    } else {
        uint64_t length = 0;
        for (int i = 0; i < 8; i++) length |= (uint64_t)data[56 + i] << 8 * i;
        if (stat(made, &found) || (uint64_t)found.st_size != length) abort();
        unlink(made);
    }
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
    static uint8_t body[MOST];
    if (size < HEAD || seed % 8 == 0) return LLVMFuzzerMutate(data, size, most);
    uLongf length = MOST;
    if (uncompress(body, &length, data + HEAD, size - HEAD) != Z_OK) return LLVMFuzzerMutate(data, size, most);
    if (seed % 8 == 1) {
        LLVMFuzzerMutate(data, HEAD, HEAD);
        return size;
    }
    length = LLVMFuzzerMutate(body, length, MOST);
    uLongf packed = most > HEAD ? most - HEAD : 0;
    if (compress(data + HEAD, &packed, body, length) != Z_OK) return size;
    uint64_t pieces = 0; /* the header may say how much there is, so that some runs get further */
    for (int i = 0; i < 4; i++) pieces |= (uint64_t)data[12 + i] << 8 * i;
    uint64_t carried = length > 16 * pieces ? length - 16 * pieces : 0;
    for (int i = 0; i < 8; i++) data[96 + i] = (uint8_t)(carried >> 8 * i);
    return HEAD + packed;
}
