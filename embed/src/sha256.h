/* SHA-256 of FIPS 180-4. */
#ifndef TIPSC_SHA256_H
#define TIPSC_SHA256_H

#include <stddef.h>
#include <stdint.h>

/* A fuzzer finds no file whose hashes are right; the build for it takes any. */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
enum { HASHES_MATTER = 0 };
#else
enum { HASHES_MATTER = 1 };
#endif

typedef struct sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
} sha256;

void sha256_begin(sha256 *hash);
void sha256_add(sha256 *hash, const void *data, size_t bytes);
void sha256_end(sha256 *hash, uint8_t digest[32]);
/* 64 lower-case digits and a zero byte. */
void sha256_hex(const uint8_t digest[32], char text[65]);

#endif
