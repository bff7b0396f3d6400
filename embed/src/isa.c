#define _GNU_SOURCE
#include "isa.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

/* What kernel libraries dispatch on, sorted; all else in /proc/cpuinfo makes no difference to them. */
static const char *const FLAGS[] = {
    "amx_bf16", "amx_int8", "amx_tile", "asimd", "asimddp", "asimdhp", "avx", "avx2", "avx512_bf16", "avx512_fp16",
    "avx512_vnni", "avx512bw", "avx512dq", "avx512f", "avx512vl", "avx_vnni", "avx_vnni_int8", "bf16", "f16c", "fma",
    "fphp", "i8mm", "neon", "sme", "sme2", "sse4_1", "sve", "sve2", "svebf16", "svei8mm",
};
enum { FLAG_COUNT = sizeof FLAGS / sizeof *FLAGS };

static void note_flags(char *line, unsigned *found) {
    char *rest = NULL;
    for (char *word = strtok_r(line, " \t\n", &rest); word; word = strtok_r(NULL, " \t\n", &rest))
        for (int i = 0; i < FLAG_COUNT; i++)
            if (!strcmp(word, FLAGS[i])) *found |= 1u << i;
}

void instruction_set(char *into) {
    struct utsname machine;
    unsigned found = 0;
    FILE *info = fopen("/proc/cpuinfo", "re");
    char line[8192];
    while (info && fgets(line, sizeof line, info)) {
        char *colon = strchr(line, ':');
        if (colon && (!strncmp(line, "flags", 5) || !strncmp(line, "Features", 8))) note_flags(colon + 1, &found);
    }
    if (info) fclose(info);
    size_t at = (size_t)snprintf(into, MOST_ISA, "%.64s", uname(&machine) ? "unknown" : machine.machine);
    for (int i = 0; i < FLAG_COUNT; i++)
        if (found & 1u << i) at += (size_t)snprintf(into + at, MOST_ISA - at, " %s", FLAGS[i]);
}
