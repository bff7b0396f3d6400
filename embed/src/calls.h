/* How many calls run in an engine, so that closing it waits for them. A session that loses its weights
 * while it runs ends the process. */
#ifndef TIPSC_CALLS_H
#define TIPSC_CALLS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct calls {
    atomic_uint state; /* CLOSED, and how many run */
    pthread_mutex_t lock;
    pthread_cond_t left;
} calls;

bool calls_make(calls *calls);
void calls_free(calls *calls);
/* False once closed: then nobody leaves. */
bool calls_enter(calls *calls);
void calls_leave(calls *calls);
/* Lets nobody in any more, and waits until all have left. */
void calls_close(calls *calls);

#endif
