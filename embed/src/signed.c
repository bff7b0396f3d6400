/* Ed25519 by libsodium, loaded when a key is given: whoever gives none needs no such library, and one build of
 * this library serves both. Whoever can replace what the loader finds can replace this library too. */
#define _GNU_SOURCE
#include "signed.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "files.h"

enum { KEY = 32, SIGNATURE = 64, RECORD = 16 + KEY + SIGNATURE, MOST_RECORDS = 16 };

static const uint8_t START[16] = {'T', 'I', 'P', 'S', 'C', 'S', 'I', 'G', 1}; /* magic, version, zero */
static const char MESSAGE[16] = "tipsc engine v1"; /* what else the key may sign is no signature of an engine */

typedef int (*verify)(const unsigned char *signature, const unsigned char *message, unsigned long long length,
                      const unsigned char *key);

static tipsc_code load_sodium(const char *named, verify *found, tipsc_error *error) {
    static const char *const usual[] = {"libsodium.so.23", "libsodium.so.26", "libsodium.so"};
    static const char fix[] = "install libsodium (Debian: libsodium23), or name its library in options.sodium";
    void *library = NULL;
    if (named) library = dlopen(named, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    for (size_t i = 0; !named && !library && i < sizeof usual / sizeof *usual; i++)
        library = dlopen(usual[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library)
        return fail(error, TIPSC_USAGE, fix, "a signature is verified by libsodium, which cannot be loaded: %s", dlerror());
    int (*begin)(void);
    void *symbol = dlsym(library, "sodium_init");
    memcpy(&begin, &symbol, sizeof begin);
    symbol = dlsym(library, "crypto_sign_ed25519_verify_detached");
    memcpy(found, &symbol, sizeof *found);
    bool works = begin && *found && begin() >= 0;
    dlclose(library);
    return works ? TIPSC_OK : fail(error, TIPSC_USAGE, fix, "%s: this is no libsodium", named ? named : usual[0]);
}

static tipsc_code no_signatures(const char *file, tipsc_error *error) {
    return fail(error, TIPSC_SIGNATURE, "get it again, or make it with tipsc sign",
                "%s: this is no file of signatures (expected 1 to %d records of %d bytes, version 1)", file, MOST_RECORDS,
                RECORD);
}

/* All records of the file beside an engine, to be freed. */
static tipsc_code read_records(const char *file, uint8_t **records, size_t *count, tipsc_error *error) {
    struct stat found;
    void *content = NULL;
    size_t length = 0;
    if (stat(file, &found) && errno == ENOENT)
        return fail(error, TIPSC_SIGNATURE, "get it from who made the engine, or make it with tipsc sign",
                    "%s: this engine has no signature", file);
    tipsc_code code = read_file(file, MOST_RECORDS * RECORD, &content, &length, error);
    if (code == TIPSC_DAMAGED) return no_signatures(file, error);
    TRY(code);
    bool sound = length && length % RECORD == 0;
    for (size_t at = 0; sound && at < length; at += RECORD) sound = !memcmp((uint8_t *)content + at, START, sizeof START);
    if (!sound) {
        free(content);
        return no_signatures(file, error);
    }
    *records = content;
    *count = length / RECORD;
    return TIPSC_OK;
}

tipsc_code check_signed(const engine_file *file, const char *name, const tipsc_options *options, tipsc_error *error) {
    char beside[MOST_NAME];
    uint8_t message[sizeof MESSAGE + 32], *records = NULL;
    size_t count = 0;
    verify verified = NULL;
    if (!name) return fail(error, TIPSC_USAGE, "open it from its file", "an engine in memory has no file of signatures");
    if (snprintf(beside, sizeof beside, "%s.sig", name) >= MOST_NAME)
        return fail(error, TIPSC_USAGE, "use a shorter one", "%s: the name is too long", name);
    TRY(load_sodium(options->sodium, &verified, error));
    TRY(read_records(beside, &records, &count, error));
    memcpy(message, MESSAGE, sizeof MESSAGE);
    memcpy(message + sizeof MESSAGE, file->content_hash, 32);
    bool trusted = false;
    for (size_t i = 0; i < count && !trusted; i++) {
        const uint8_t *key = records + i * RECORD + sizeof START;
        for (uint32_t k = 0; k < options->key_count && !trusted; k++)
            trusted = !memcmp(key, options->keys + (size_t)k * KEY, KEY) &&
                      !verified(key + KEY, message, sizeof message, key);
    }
    free(records);
    if (trusted) return TIPSC_OK;
    return fail(error, TIPSC_SIGNATURE, "get engine and signature again from who makes them",
                "%s: this engine is not signed by a key that is trusted", name);
}
