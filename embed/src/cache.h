/* A device-specific form of an engine, as a folder of files that is whole or not there.
 *
 * The folder holds a record (what it was made from and for, and the SHA-256 of each file). It is built
 * under a temporary name and renamed. One process builds at a time; the others wait and use what it
 * built. Python makes the same folder, and each uses the other's. */
#ifndef TIPSC_CACHE_H
#define TIPSC_CACHE_H

#include "error.h"
#include "read.h"

/* What a form was made from and for, sorted by `name`. */
typedef struct key_part {
    const char *name, *value;
} key_part;

typedef struct cache_key {
    key_part parts[4];
} cache_key;

/* Fills an empty folder. */
typedef tipsc_code (*cache_build)(void *user, const char *folder, tipsc_error *error);

typedef struct cache_request {
    const char *file;        /* the engine; NULL: in memory */
    const char *engine_hash; /* its content hash */
    const char *named;       /* the folder that the user named; NULL: tipsc chooses */
    cache_key key;
    cache_build build;
    void *user;
    tipsc_log log;
    void *log_user;
} cache_request;

/* The folder with the form, made if it is missing, in MOST_NAME bytes. `temporary`: nothing keeps it, and it
 * is to be removed with cache_remove when what is in it was opened. */
tipsc_code cache_obtain(const cache_request *request, char *folder, bool *temporary, tipsc_error *error);

/* The same, if it is there and sound; nothing is made. */
bool cache_find(const cache_request *request, char *folder);

/* Removes a folder and the files in it. */
void cache_remove(const char *folder);

#endif
