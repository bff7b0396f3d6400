#define _GNU_SOURCE
#include "place.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sha256.h"

enum { ACCOUNT = 16384 }; /* bytes that an entry of a user or group may take */

/* The private group that many systems give each user: of the same name, without other members. */
static bool users_own_group(gid_t group) {
    char user_text[ACCOUNT], group_text[ACCOUNT];
    struct passwd user, *has_user = NULL;
    struct group entry, *has_entry = NULL;
    if (getpwuid_r(geteuid(), &user, user_text, sizeof user_text, &has_user) || !has_user) return false;
    if (getgrgid_r(group, &entry, group_text, sizeof group_text, &has_entry) || !has_entry) return false;
    if (user.pw_gid != group || strcmp(entry.gr_name, user.pw_name) != 0) return false;
    for (char **member = entry.gr_mem; *member; member++)
        if (strcmp(*member, user.pw_name) != 0) return false;
    return true;
}

bool others_write(const struct stat *found) {
    if (found->st_mode & S_IWOTH) return true;
    return found->st_mode & S_IWGRP && !users_own_group(found->st_gid);
}

const char *why_foreign(const char *place) {
    struct stat found;
    if (lstat(place, &found)) return "it cannot be looked at";
    if (S_ISLNK(found.st_mode)) return "it is a symbolic link";
    if (found.st_uid != geteuid() && found.st_uid != 0) return "it belongs to another user";
    return others_write(&found) ? "others can write it" : NULL;
}

static bool is_there(const char *place) {
    struct stat found;
    return lstat(place, &found) == 0;
}

/* The folder that `place`, an absolute name without links, lies in; false: it is the root. */
static bool go_up(char *place) {
    char *slash = strrchr(place, '/');
    if (!slash || !place[1]) return false;
    slash[slash == place] = 0;
    return true;
}

/* Whether nobody else can write or replace the folder, or one that it lies in. */
static bool unreachable_for_others(const char *folder) {
    char parent[MOST_NAME];
    if (is_there(folder) && why_foreign(folder)) return false;
    for (snprintf(parent, sizeof parent, "%s", folder); go_up(parent);) {
        struct stat found;
        if (lstat(parent, &found) || !why_foreign(parent)) continue;
        /* As /tmp: all may put something there, and move only what is theirs. */
        if (!(found.st_mode & S_ISVTX && (found.st_uid == geteuid() || found.st_uid == 0))) return false;
    }
    return true;
}

/* Makes the folder and what is missing above it for this user alone; whether it is so. */
static bool made_private(const char *folder) {
    struct stat found;
    char part[MOST_NAME];
    if (!unreachable_for_others(folder)) return false;
    snprintf(part, sizeof part, "%s", folder);
    for (char *at = part + 1; *at; at++) {
        if (*at != '/') continue;
        *at = 0;
        if (!is_there(part)) mkdir(part, 0700);
        *at = '/';
    }
    mkdir(part, 0700);
    /* Again: somebody else can have been the first to make one of them. */
    return stat(folder, &found) == 0 && S_ISDIR(found.st_mode) && unreachable_for_others(folder);
}

static void digest16(const void *data, size_t bytes, char text[17]) {
    sha256 hash;
    uint8_t digest[32];
    char hex[65];
    sha256_begin(&hash);
    sha256_add(&hash, data, bytes);
    sha256_end(&hash, digest);
    sha256_hex(digest, hex);
    memcpy(text, hex, 16);
    text[16] = 0;
}

/* What is there of a name, without links, and the rest as it is. */
static bool resolved(const char *name, char *into) {
    char head[MOST_NAME], found[PATH_MAX];
    if (name[0] != '/' || strlen(name) >= sizeof head) return false;
    snprintf(head, sizeof head, "%s", name);
    size_t length = strlen(head);
    while (!realpath(head, found)) {
        if (errno != ENOENT || !go_up(head)) return false;
    }
    length = strlen(head);
    const char *rest = name + (length > 1 ? length : 0);
    return snprintf(into, MOST_NAME, "%s%s", found[1] || !*rest ? found : "", rest) < MOST_NAME;
}

/* The user's cache for tipsc. */
static bool users_cache(char *into) {
    char named[MOST_NAME], account[ACCOUNT];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    struct passwd user, *has_user = NULL;
    int length;
    if (cache && cache[0] == '/') {
        length = snprintf(named, sizeof named, "%s", cache);
    } else {
        if (!home && !getpwuid_r(geteuid(), &user, account, sizeof account, &has_user) && has_user) home = user.pw_dir;
        if (!home || home[0] != '/') return false;
        length = snprintf(named, sizeof named, "%s/.cache", home);
    }
    if (length < 0 || (size_t)length >= sizeof named) return false;
    while (length > 1 && named[length - 1] == '/') named[--length] = 0;
    char without_links[MOST_NAME];
    if (!resolved(named, without_links)) return false;
    return joined(into, without_links, "tipsc", NULL) == TIPSC_OK;
}

static bool usable(const char *parent, const char *key, char *folder) {
    char record[MOST_NAME];
    if (joined(folder, parent, key, NULL) || joined(record, folder, RECORD, NULL)) return false;
    bool there = access(record, R_OK) == 0;
    return made_private(parent) && (there || access(parent, W_OK | X_OK) == 0);
}

bool keyed_folder(const char *file, const char *engine_hash, const uint8_t key_digest[32], char *folder) {
    char hex[65], key[17], parent[MOST_NAME], cache[MOST_NAME], name[MOST_NAME];
    sha256_hex(key_digest, hex);
    memcpy(key, hex, 16);
    key[16] = 0;
    char engine[PATH_MAX];
    if (file && !realpath(file, engine)) return false;
    struct stat found;
    if (file && lstat(engine, &found) == 0 && S_ISREG(found.st_mode) && !why_foreign(engine) &&
        snprintf(parent, sizeof parent, "%s-cache", engine) < (int)sizeof parent && usable(parent, key, folder))
        return true;
    if (!users_cache(cache)) return false;
    if (file) {
        char place[17];
        digest16(engine, strlen(engine), place);
        const char *slash = strrchr(engine, '/');
        if (snprintf(name, sizeof name, "%s-%s", slash ? slash + 1 : engine, place) >= (int)sizeof name) return false;
    } else {
        snprintf(name, sizeof name, "%s", engine_hash);
    }
    return joined(parent, cache, name, NULL) == TIPSC_OK && usable(parent, key, folder);
}
