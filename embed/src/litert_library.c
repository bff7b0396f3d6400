#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "files.h"
#include "litert_api.h"

/* The version of the package ai-edge-litert, by the folder that its installer left beside it. Python's caches
 * are named by it, and nothing in the library says it. */
static void note_version(litert *litert, void *symbol) {
    static const char start[] = "ai_edge_litert-", end[] = ".dist-info";
    Dl_info found;
    char folder[MOST_NAME];
    if (!dladdr(symbol, &found) || !found.dli_fname || strlen(found.dli_fname) >= sizeof folder) return;
    snprintf(folder, sizeof folder, "%s", found.dli_fname);
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(folder, '/');
        if (!slash) return;
        *slash = 0;
    }
    DIR *listed = opendir(folder);
    for (struct dirent *entry; listed && (entry = readdir(listed));) {
        size_t length = strlen(entry->d_name), around = strlen(start) + strlen(end);
        if (length <= around || length - around >= sizeof litert->version) continue;
        if (strncmp(entry->d_name, start, strlen(start)) || strcmp(entry->d_name + length - strlen(end), end)) continue;
        memcpy(litert->version, entry->d_name + strlen(start), length - around);
        litert->version[length - around] = 0;
    }
    if (listed) closedir(listed);
}

#define LITERT_TAKE(type, name, arguments)                                                                        \
    symbol = dlsym(library, "LiteRt" #name);                                                                      \
    if (!symbol)                                                                                                  \
        return dlclose(library), fail(error, TIPSC_DEVICE, fix, "%s: it has no LiteRt" #name, file);              \
    memcpy(&litert->name, &symbol, sizeof symbol);

tipsc_code litert_load(litert *litert, const char *file, tipsc_error *error) {
    static const char fix[] = "install LiteRT 2.3 or later, or name its library in options.runtime";
    if (!file) file = "libLiteRt.so";
    void *symbol = NULL, *library = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) return fail(error, TIPSC_DEVICE, fix, "LiteRT cannot be loaded: %s", dlerror());
    LITERT_FUNCTIONS(LITERT_TAKE)
    note_version(litert, symbol);
    return TIPSC_OK;
}
