#define _GNU_SOURCE
#include "cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "decode.h"
#include "json.h"
#include "lock.h"
#include "place.h"
#include "writer.h"

enum { MOST_RECORD = 4 << 20, KEY_PARTS = 4 };

/* The key as tipsc writes it: its digest names the folder. */
static void put_key(writer *writer, const cache_key *key) {
    put_text(writer, "{");
    for (int i = 0; i < KEY_PARTS; i++) {
        if (i) put_text(writer, ",");
        put_json(writer, key->parts[i].name, strlen(key->parts[i].name));
        put_text(writer, ":");
        put_json(writer, key->parts[i].value, strlen(key->parts[i].value));
    }
    put_text(writer, "}");
}

static tipsc_code key_digest(const cache_key *key, uint8_t digest[32], tipsc_error *error) {
    writer text = {0};
    sha256 hash;
    put_key(&text, key);
    if (text.failed) return no_memory(error);
    sha256_begin(&hash);
    sha256_add(&hash, text.data, text.length);
    sha256_end(&hash, digest);
    writer_free(&text);
    return TIPSC_OK;
}

/* The SHA-256 of a regular file that nobody else can write, in hexadecimal. */
static bool own_sha256(const char *folder, const char *name, char hex[65]) {
    char file[MOST_NAME];
    uint8_t part[1 << 16], digest[32];
    struct stat found;
    if (joined(file, folder, name, NULL)) return false;
    int from = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (from < 0) return false;
    bool ok = fstat(from, &found) == 0 && S_ISREG(found.st_mode) && !others_write(&found);
    sha256 hash;
    sha256_begin(&hash);
    for (ssize_t got = 1; ok && got;) {
        got = read(from, part, sizeof part);
        if (got > 0) sha256_add(&hash, part, (size_t)got);
        ok = got >= 0 || errno == EINTR;
    }
    close(from);
    sha256_end(&hash, digest);
    sha256_hex(digest, hex);
    return ok;
}

/* The record of a folder: objects of texts; false: there is none. */
static bool read_record(arena *arena, const char *folder, const json **key, const json **files) {
    char file[MOST_NAME], hex[65];
    void *content = NULL;
    size_t length = 0;
    json *value = NULL;
    wanted keys[] = {{"key", false, NULL}, {"files", false, NULL}, {NULL, false, NULL}};
    if (joined(file, folder, RECORD, NULL) || !own_sha256(folder, RECORD, hex)) return false;
    if (read_file(file, MOST_RECORD, &content, &length, NULL)) return false;
    bool ok = json_parse(arena, content, length, file, &value, NULL) == TIPSC_OK &&
              object_of(value, keys, file, NULL) == TIPSC_OK && texts_in(keys[0].found, file, NULL) == TIPSC_OK &&
              texts_in(keys[1].found, file, NULL) == TIPSC_OK;
    free(content);
    if (ok) *key = keys[0].found, *files = keys[1].found;
    return ok;
}

static const json *part_of(const json *object, const char *name) {
    const json *part = object->parts;
    while (part && !(part->key_length == strlen(name) && !memcmp(part->key, name, part->key_length)))
        part = part->next;
    return part;
}

/* The first part of the key that the record does not have; NULL: it is made for this key. */
static const key_part *other_part(const json *recorded, const cache_key *key) {
    for (int i = 0; i < KEY_PARTS; i++) {
        const json *part = part_of(recorded, key->parts[i].name);
        if (!part || !is_text((text){part->text, part->length}, key->parts[i].value)) return &key->parts[i];
    }
    return NULL;
}

/* Whether the folder is this user's, made for the key, and all files have the recorded hash. */
static bool is_sound(const char *folder, const cache_key *key) {
    arena arena = {NULL};
    const json *recorded = NULL, *files = NULL;
    bool sound = !why_foreign(folder) && read_record(&arena, folder, &recorded, &files) &&
                 recorded->length == KEY_PARTS && !other_part(recorded, key);
    size_t present = 0;
    DIR *listed = sound ? opendir(folder) : NULL;
    for (struct dirent *entry; listed && (entry = readdir(listed));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) present++;
    if (listed) closedir(listed);
    sound = sound && present == files->length + 1; /* and the record */
    for (const json *file = sound ? files->parts : NULL; file && sound; file = file->next) {
        char hex[65];
        sound = !strchr(file->key, '/') && own_sha256(folder, file->key, hex) &&
                is_text((text){file->text, file->length}, hex);
    }
    arena_free(&arena);
    return sound;
}

void cache_remove(const char *folder) {
    DIR *listed = opendir(folder);
    if (!listed) return;
    for (struct dirent *entry; (entry = readdir(listed));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(listed), entry->d_name, 0);
    closedir(listed);
    rmdir(folder);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static tipsc_code storing(const char *folder, tipsc_error *error) {
    return fail(error, TIPSC_USAGE, "give a cache_dir that can be written and has room",
                "%s: cannot keep the finalised engine: %s", folder, strerror(errno));
}

/* Records what is in the folder, durably. */
static tipsc_code record(const char *folder, const cache_key *key, tipsc_error *error) {
    char *names[1 << 12], file[MOST_NAME], hex[65];
    size_t count = 0;
    tipsc_code code = TIPSC_OK;
    writer text = {0};
    DIR *listed = opendir(folder);
    if (!listed) return storing(folder, error);
    for (struct dirent *entry; code == TIPSC_OK && (entry = readdir(listed));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        char *name = count < sizeof names / sizeof *names ? strdup(entry->d_name) : NULL;
        if (name) names[count++] = name;
        else code = no_memory(error);
    }
    closedir(listed);
    qsort(names, count, sizeof *names, by_name);
    put_text(&text, "{\"files\":{");
    for (size_t i = 0; code == TIPSC_OK && i < count; i++) {
        code = joined(file, folder, names[i], error);
        int opened = code == TIPSC_OK ? open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
        if (opened >= 0 && (fchmod(opened, 0600) || fsync(opened))) code = storing(folder, error);
        if (opened >= 0) close(opened);
        if (code == TIPSC_OK && (opened < 0 || !own_sha256(folder, names[i], hex))) code = storing(folder, error);
        if (i) put_text(&text, ",");
        put_json(&text, names[i], strlen(names[i]));
        put_text(&text, ":\"");
        put(&text, hex, 64);
        put_text(&text, "\"");
    }
    put_text(&text, "},\"key\":");
    put_key(&text, key);
    put_text(&text, "}");
    if (code == TIPSC_OK && text.failed) code = no_memory(error);
    if (code == TIPSC_OK) code = joined(file, folder, RECORD, error);
    if (code == TIPSC_OK) code = write_file(file, text.data, text.length, error);
    if (code == TIPSC_OK) sync_folder(folder);
    writer_free(&text);
    while (count) free(names[--count]);
    return code;
}

static tipsc_code build_into(const char *folder, const cache_request *request, tipsc_error *error) {
    TRY(request->build(request->user, folder, error));
    return record(folder, &request->key, error);
}

/* Removes the siblings of `folder` that a builder left, which are named after it. */
static void remove_stale(const char *folder) {
    char parent[MOST_NAME], prefix[MOST_NAME], stale[MOST_NAME];
    const char *name = strrchr(folder, '/') + 1;
    snprintf(parent, sizeof parent, "%.*s", (int)(name - folder), folder);
    snprintf(prefix, sizeof prefix, ".%.200s.tmp-", name);
    DIR *listed = opendir(parent);
    for (struct dirent *entry; listed && (entry = readdir(listed));)
        if (!strncmp(entry->d_name, prefix, strlen(prefix)) && !joined(stale, parent, entry->d_name, NULL)) {
            char inner[MOST_NAME];
            if (!joined(inner, stale, "old", NULL)) cache_remove(inner);
            cache_remove(stale);
        }
    if (listed) closedir(listed);
}

/* Removes what was made beside `folder` from the engine file before it was built again. */
static void forget_older(const char *folder, const char *engine_hash) {
    char parent[MOST_NAME], other[MOST_NAME];
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(folder, '/') - folder), folder);
    DIR *listed = opendir(parent);
    for (struct dirent *entry; listed && (entry = readdir(listed));) {
        arena arena = {NULL};
        const json *key = NULL, *files = NULL, *engine = NULL;
        if (entry->d_name[0] != '.' && !joined(other, parent, entry->d_name, NULL) &&
            read_record(&arena, other, &key, &files))
            engine = part_of(key, "engine");
        if (engine && !is_text((text){engine->text, engine->length}, engine_hash)) cache_remove(other);
        arena_free(&arena);
    }
    if (listed) closedir(listed);
}

static tipsc_code replace(const char *folder, const cache_request *request, tipsc_error *error) {
    char fresh[MOST_NAME], aside[MOST_NAME + 8];
    const char *name = strrchr(folder, '/') + 1;
    remove_stale(folder);
    if (snprintf(fresh, sizeof fresh, "%.*s.%s.tmp-XXXXXX", (int)(name - folder), folder, name) >= MOST_NAME)
        return fail(error, TIPSC_USAGE, "use a shorter one", "%s: the name is too long", folder);
    snprintf(aside, MOST_NAME, "%s", fresh);
    if (!mkdtemp(fresh)) return storing(folder, error);
    tipsc_code code = build_into(fresh, request, error);
    if (code == TIPSC_OK && access(folder, F_OK) == 0) {
        if (!mkdtemp(aside)) code = storing(folder, error);
        else strcat(aside, "/old");
        if (code == TIPSC_OK && rename(folder, aside)) code = storing(folder, error);
    }
    if (code == TIPSC_OK && rename(fresh, folder)) code = storing(folder, error);
    if (code == TIPSC_OK) sync_folder_of(folder);
    remove_stale(folder);
    return code;
}

static tipsc_code obtain(const char *folder, const cache_request *request, tipsc_error *error) {
    if (is_sound(folder, &request->key)) return TIPSC_OK;
    lock lock;
    TRY(lock_take(&lock, folder, request->log, request->log_user, error));
    tipsc_code code = TIPSC_OK;
    if (!is_sound(folder, &request->key)) { /* another process may have built it meanwhile */
        code = replace(folder, request, error);
        if (code == TIPSC_OK && !request->named) forget_older(folder, request->engine_hash);
    }
    lock_give(&lock);
    return code;
}

static tipsc_code refuse_foreign(const char *folder, const cache_key *key, tipsc_error *error) {
    struct stat found;
    if (stat(folder, &found)) return TIPSC_OK;
    const char *foreign = why_foreign(folder);
    if (foreign)
        return fail(error, TIPSC_USAGE, "name a folder that only you can write (chmod go-w), or leave cache_dir out",
                    "%s: cache_dir cannot be trusted: %s", folder, foreign);
    char record[MOST_NAME];
    TRY(joined(record, folder, RECORD, error));
    if (access(record, F_OK)) {
        bool empty = rmdir(folder) == 0; /* and made again below */
        if (empty || errno == ENOENT) return TIPSC_OK;
        return fail(error, TIPSC_USAGE, "name an empty folder, or one that tipsc made",
                    "%s: cache_dir is not empty and holds no finalised engine", folder);
    }
    arena arena = {NULL};
    const json *recorded = NULL, *files = NULL;
    tipsc_code code = TIPSC_OK;
    if (read_record(&arena, folder, &recorded, &files)) { /* else it is damaged, and made again */
        const key_part *other = other_part(recorded, key);
        if (other)
            code = fail(error, TIPSC_DEVICE, "name another folder, or leave cache_dir out",
                        "%s: cache_dir holds an engine that was finalised for another %s (expected %.100s)", folder,
                        other->name, other->value);
    }
    arena_free(&arena);
    return code;
}

static tipsc_code in_named(const cache_request *request, char *folder, tipsc_error *error) {
    char resolved[MOST_NAME];
    const char *named = request->named;
    if (!realpath(named, resolved)) {
        /* It is made in a folder that is there. */
        char parent[MOST_NAME];
        const char *slash = strrchr(named, '/');
        if (strlen(named) >= sizeof parent - 1) return fail(error, TIPSC_USAGE, "use a shorter one", "cache_dir: the name is too long");
        snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - named) + 1 : 1, slash ? named : ".");
        if (!realpath(parent, resolved)) return storing(named, error);
        TRY(joined(folder, resolved, slash ? slash + 1 : named, error));
    } else {
        snprintf(folder, MOST_NAME, "%s", resolved);
    }
    TRY(refuse_foreign(folder, &request->key, error));
    return obtain(folder, request, error);
}

tipsc_code cache_obtain(const cache_request *request, char *folder, bool *temporary, tipsc_error *error) {
    uint8_t digest[32];
    *temporary = false;
    if (request->named) return in_named(request, folder, error);
    TRY(key_digest(&request->key, digest, error));
    if (keyed_folder(request->file, request->engine_hash, digest, folder)) return obtain(folder, request, error);
    if (request->log)
        request->log(request->log_user, TIPSC_LOG_WARNING,
                     "there is no folder for the finalised engine that only this user can write; it is made again "
                     "each time: give a cache_dir");
    const char *base = getenv("TMPDIR");
    if (snprintf(folder, MOST_NAME, "%s/tipsc-XXXXXX", base && *base ? base : "/tmp") >= MOST_NAME || !mkdtemp(folder))
        return storing("a temporary folder", error);
    *temporary = true;
    tipsc_code code = build_into(folder, request, error);
    if (code != TIPSC_OK) cache_remove(folder);
    return code;
}

bool cache_find(const cache_request *request, char *folder) {
    uint8_t digest[32];
    if (request->named) {
        char resolved[PATH_MAX];
        return realpath(request->named, resolved) && snprintf(folder, MOST_NAME, "%s", resolved) < MOST_NAME &&
               is_sound(folder, &request->key);
    }
    return key_digest(&request->key, digest, NULL) == TIPSC_OK &&
           keyed_folder(request->file, request->engine_hash, digest, folder) && is_sound(folder, &request->key);
}
