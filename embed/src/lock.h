/* One process at a time finalises an engine; who waits says for whom, and not for ever. */
#ifndef TIPSC_LOCK_H
#define TIPSC_LOCK_H

#include "error.h"

typedef struct lock {
    int descriptor;
} lock;

/* The lock of `folder`, which lies beside it; it ends with the process that holds it. Gives up after ten
 * minutes. */
tipsc_code lock_take(lock *lock, const char *folder, tipsc_log log, void *user, tipsc_error *error);
void lock_give(lock *lock);

#endif
