#ifndef TIPSC_CONTEXT_H
#define TIPSC_CONTEXT_H

#include "engine.h"

struct tipsc_context {
    tipsc_engine *engine;
    void *bindings[]; /* of each path; NULL until its first call */
};

#endif
