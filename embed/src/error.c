#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

tipsc_code fail(tipsc_error *error, tipsc_code code, const char *fix, const char *text, ...) {
    if (!error) return code;
    if (error->size >= offsetof(tipsc_error, text)) error->code = code;
    if (error->size >= offsetof(tipsc_error, fix)) {
        va_list arguments;
        va_start(arguments, text);
        vsnprintf(error->text, sizeof error->text, text, arguments);
        va_end(arguments);
        /* Parts may come from a file: nothing of it may move a terminal's cursor. */
        for (char *at = error->text; *at; at++)
            if ((unsigned char)*at < 0x20 || *at == 0x7f) *at = '?';
    }
    if (error->size >= sizeof *error) snprintf(error->fix, sizeof error->fix, "%s", fix ? fix : "");
    return code;
}

tipsc_code no_memory(tipsc_error *error) {
    return fail(error, TIPSC_MEMORY, "close something, or open fewer paths", "no memory is left");
}
