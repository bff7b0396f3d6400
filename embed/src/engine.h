#ifndef TIPSC_ENGINE_H
#define TIPSC_ENGINE_H

#include "calls.h"
#include "runtime.h"

struct tipsc_engine {
    engine_file file;
    opened_path *paths;
    size_t path_count;
    runtime *runtime; /* NULL: only read */
    calls calls;
    atomic_size_t holders; /* the handle, contexts and governors */
    tipsc_log log;
    void *log_user;
};

void engine_hold(tipsc_engine *engine);
void engine_let_go(tipsc_engine *engine);

/* Copies as much of a struct that begins with its size as both sides know. */
tipsc_code give_struct(void *into, const void *from, size_t known, tipsc_error *error);
/* The struct of the caller, or zeros behind what he knows; `from` may be NULL. */
tipsc_code take_struct(void *into, const void *from, size_t known, const char *what, tipsc_error *error);

#endif
