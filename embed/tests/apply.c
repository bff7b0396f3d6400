/* apply OLD DELTA NEW: exit code 0, or that of the error, with its sentence on stderr. */
#include <stdio.h>

#include "tipsc.h"

int main(int count, char **arguments) {
    tipsc_error error = {.size = sizeof error};
    if (count != 4) return 100;
    tipsc_code code = tipsc_apply(arguments[1], arguments[2], arguments[3], &error);
    if (code) fprintf(stderr, "%s; %s\n", error.text, error.fix);
    return (int)code;
}
