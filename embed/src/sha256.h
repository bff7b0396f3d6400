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

/* Takes in so many blocks of 64 bytes. */
typedef void (*sha256_blocks)(uint32_t state[8], const uint8_t *data, size_t count);

extern const uint32_t SHA256_K[64];

void sha256_plain_blocks(uint32_t state[8], const uint8_t *data, size_t count);
/* By this machine's own instructions; NULL: it has none. */
sha256_blocks sha256_fast_blocks(void);

typedef struct sha256 {
    sha256_blocks blocks;
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
