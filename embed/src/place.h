/* Where finalised engines are kept, and whether anybody else could have written there.
 *
 * What lies in a cache is run. So it is taken only from folders that nobody but this user and the
 * system's administrator can write or replace: the folder, and the folders that it lies in. */
#ifndef TIPSC_PLACE_H
#define TIPSC_PLACE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "files.h"

#define RECORD "cache.json" /* of a cache's folder: what it was made from and for, and the hash of each file */

/* Where the form of which the key has this digest is kept when the user names no folder: beside the engine
 * `file` (NULL: in memory, of this content hash), or under the user's cache; false: nowhere. `folder` has
 * MOST_NAME bytes. */
bool keyed_folder(const char *file, const char *engine_hash, const uint8_t key_digest[32], char *folder);

/* Who else could have written the file or folder, a clause; NULL: nobody. Links are not followed. */
const char *why_foreign(const char *place);
bool others_write(const struct stat *found);

#endif
