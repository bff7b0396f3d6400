#include "tensorrt_built.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"

static const char *file_of(const opening *opening) { return opening->name ? opening->name : "ENGINE"; }

tipsc_code check_finished(const opening *opening, tipsc_error *error) {
    if (opening->file->has_plans) return TIPSC_OK;
    char fix[sizeof error->fix];
    snprintf(fix, sizeof fix,
             "run 'tipsc finish %.90s --device ssh://[user@]host', or on the device itself with --device local",
             file_of(opening));
    return fail(error, TIPSC_DEVICE, fix, "%.200s: this engine is unbuilt: its TensorRT plans are made on a %.60s",
                file_of(opening), opening->file->manifest.target.text);
}

/* The numbers of a version, at most four; how many there are. */
static int numbers_of(const char *version, long numbers[4]) {
    int count = 0;
    while (count < 4) {
        char *end;
        if (*version < '0' || *version > '9') break;
        numbers[count++] = strtol(version, &end, 10);
        version = end;
        if (*version != '.') break;
        version++;
    }
    return count;
}

/* Python's module says three numbers on a Jetson and four elsewhere, and the library may know the fourth: it counts
 * where both know it. */
static bool same_version(const char *built, const char *here) {
    long one[4], other[4];
    int known = numbers_of(built, one), found = numbers_of(here, other);
    if (known < 3 || found < 3) return !strcmp(built, here);
    for (int i = 0; i < known && i < found; i++)
        if (one[i] != other[i]) return false;
    return true;
}

tipsc_code check_built(const opening *opening, const char *module, const char *version, const char *capability,
                       tipsc_error *error) {
    const struct {
        const char *name, *value;
    } here[] = {{"module", module}, {"version", version}, {"compute capability", capability}};
    for (size_t i = 0; i < sizeof here / sizeof *here; i++) {
        text built = built_of(&opening->file->manifest, here[i].name);
        bool fits = is_text(built, "unknown") || is_text(built, here[i].value) ||
                    (i == 1 && same_version(built.text, here[i].value));
        if (fits) continue;
        char fix[sizeof error->fix];
        snprintf(fix, sizeof fix, "run 'tipsc finish %.120s --device local' here: it builds the plans again",
                 file_of(opening));
        return fail(error, TIPSC_DEVICE, fix, "%.200s: this engine was finished for another %s (expected %s, got %.60s)",
                    file_of(opening), here[i].name, here[i].value, built.text);
    }
    return TIPSC_OK;
}
