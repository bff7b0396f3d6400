#define _GNU_SOURCE
#include "tensorrt_refit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache.h"
#include "decode.h"
#include "files.h"

#define WEIGHTS "weights" /* as graphs name them */

static tipsc_code no_folder(const char *name, tipsc_error *error) {
    return fail(error, TIPSC_USAGE, "set TMPDIR to a folder with room for the weights", "%.200s: cannot be written: %s",
                name, strerror(errno));
}

/* A temporary folder with the weights. */
static tipsc_code begin(refit *refit, const engine_file *file, tipsc_error *error) {
    char name[MOST_NAME];
    const char *base = getenv("TMPDIR");
    if (snprintf(name, sizeof name, "%s/tipsc-XXXXXX", base && *base ? base : "/tmp") >= MOST_NAME || !mkdtemp(name))
        return no_folder(name, error);
    memcpy(refit->folder, name, sizeof name);
    TRY(joined(name, refit->folder, WEIGHTS, error));
    int to = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0) return no_folder(name, error);
    tipsc_code code = source_copy(&file->source, file->weights_at, file->weights_length, to, error);
    if (close(to) && code == TIPSC_OK) code = no_folder(name, error);
    if (code == TIPSC_OK) code = source_unchanged(&file->source, error);
    return code;
}

tipsc_code refit_plan(refit *refit, trt *trt, trt_plan *loaded, const plan *plan, const engine_file *file,
                      tipsc_error *error) {
    const path_entry *entry = NULL;
    const graph *graph = NULL;
    char name[MOST_NAME];
    if (plan->path_count != 1) return fail(error, TIPSC_DAMAGED, REBUILD, "a plan that paths share is stripped");
    for (size_t i = 0; i < file->manifest.path_count; i++)
        if (same_text(file->manifest.paths[i].id, plan->paths[0])) entry = &file->manifest.paths[i];
    TRY(checked_graph(file, entry, &graph, error));
    if (!refit->folder[0]) TRY(begin(refit, file, error));
    TRY(joined(name, refit->folder, "path.onnx", error));
    TRY(write_file(name, graph->data, graph->length, error));
    return trt_plan_refit(trt, loaded, name, entry->id.text, error);
}

void refit_end(refit *refit) {
    if (refit->folder[0]) cache_remove(refit->folder);
    refit->folder[0] = 0;
}
