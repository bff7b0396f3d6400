/* SHA-256 of files' worth of every length up to 300 bytes, in two parts each, by this machine's instructions and
 * without; prints the hash over all of those hashes, twice, for the test to compare. */
#include "sha256.h"

#include <stdio.h>
#include <string.h>

static void all(int plain) {
    uint8_t data[300], digest[32];
    char hex[65];
    sha256 outer;
    sha256_begin(&outer);
    sha256_blocks of_machine = outer.blocks;
    for (int i = 0; i < 300; i++) data[i] = (uint8_t)(i * 31 + 7);
    for (size_t length = 0; length <= 300; length++) {
        sha256 hash;
        sha256_begin(&hash);
        if (plain) hash.blocks = sha256_plain_blocks;
        sha256_add(&hash, data, length / 3);
        sha256_add(&hash, data + length / 3, length - length / 3);
        sha256_end(&hash, digest);
        sha256_add(&outer, digest, 32);
    }
    sha256_end(&outer, digest);
    sha256_hex(digest, hex);
    printf("%s %s\n", hex, of_machine == sha256_plain_blocks ? "plain" : "fast");
}

int main(void) {
    all(0);
    all(1);
    return 0;
}
