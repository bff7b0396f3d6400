#include "calls.h"

#define CLOSED 0x80000000u

bool calls_make(calls *calls) {
    atomic_init(&calls->state, 0);
    if (pthread_mutex_init(&calls->lock, NULL)) return false;
    if (!pthread_cond_init(&calls->left, NULL)) return true;
    pthread_mutex_destroy(&calls->lock);
    return false;
}

void calls_free(calls *calls) {
    pthread_cond_destroy(&calls->left);
    pthread_mutex_destroy(&calls->lock);
}

void calls_leave(calls *calls) {
    if (atomic_fetch_sub(&calls->state, 1) != (CLOSED | 1)) return;
    pthread_mutex_lock(&calls->lock);
    pthread_cond_broadcast(&calls->left);
    pthread_mutex_unlock(&calls->lock);
}

bool calls_enter(calls *calls) {
    if (!(atomic_fetch_add(&calls->state, 1) & CLOSED)) return true;
    calls_leave(calls);
    return false;
}

void calls_close(calls *calls) {
    atomic_fetch_or(&calls->state, CLOSED);
    pthread_mutex_lock(&calls->lock);
    while (atomic_load(&calls->state) != CLOSED) pthread_cond_wait(&calls->left, &calls->lock);
    pthread_mutex_unlock(&calls->lock);
}
