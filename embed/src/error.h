/* Errors as code, text and fix; and the one way to give them. */
#ifndef TIPSC_ERROR_H
#define TIPSC_ERROR_H

#include "tipsc.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fills `error`, which may be NULL; gives `code` back, so that `return fail(...)` does. */
__attribute__((format(printf, 4, 5))) tipsc_code fail(tipsc_error *error, tipsc_code code, const char *fix,
                                                      const char *text, ...);

tipsc_code no_memory(tipsc_error *error);

#ifdef __cplusplus
}
#endif

#define TRY(call)                          \
    do {                                   \
        tipsc_code code_ = (call);         \
        if (code_ != TIPSC_OK) return code_; \
    } while (0)

#define REBUILD "copy or build the engine again"

#endif
