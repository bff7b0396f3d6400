/* Files: opened so that no name can make a call wait for ever, and written whole. */
#ifndef TIPSC_FILES_H
#define TIPSC_FILES_H

#include "error.h"

enum { MOST_NAME = 4096 }; /* bytes of a file's name, as Linux takes them */

/* A descriptor of a regular file for reading. */
tipsc_code open_regular(const char *file, int *descriptor, tipsc_error *error);

/* `what` is for errors. */
tipsc_code write_whole(int descriptor, const void *data, size_t bytes, const char *what, tipsc_error *error);

/* Makes the names in the folder of `file` durable, where the system can do that. */
void sync_folder_of(const char *file);
void sync_folder(const char *folder);

/* `folder`/`name` in `into`, which has MOST_NAME bytes. */
tipsc_code joined(char *into, const char *folder, const char *name, tipsc_error *error);

/* A whole file of at most `most` bytes, in memory to be freed. */
tipsc_code read_file(const char *file, uint64_t most, void **content, size_t *bytes, tipsc_error *error);

/* Writes a new file, or what is left of an old one, and syncs it. */
tipsc_code write_file(const char *file, const void *data, size_t bytes, tipsc_error *error);

#endif
