#define _GNU_SOURCE
#include "ort_finalise.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blob.h"
#include "external.h"
#include "files.h"
#include "json.h"

#define MIN_EXTERNAL "128" /* bytes; below this a tensor costs less inside its graph, and shapes must be readable there */
enum { GROWTH = 16, MARGIN = 16 << 20 }; /* layouts pad channels to 16 at most */

static tipsc_code named(char *into, const char *folder, const char *path, const char *suffix, tipsc_error *error) {
    char name[128];
    snprintf(name, sizeof name, "%s%s", path, suffix);
    return joined(into, folder, name, error);
}

static tipsc_code write_weights(const engine_file *file, const char *name, tipsc_error *error) {
    int to = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0) return fail(error, TIPSC_USAGE, NULL, "%s: cannot be written: %s", name, strerror(errno));
    tipsc_code code = source_copy(&file->source, file->weights_at, file->weights_length, to, error);
    if (close(to) && code == TIPSC_OK) code = fail(error, TIPSC_USAGE, NULL, "%s: cannot be written: %s", name, strerror(errno));
    return code == TIPSC_OK ? source_unchanged(&file->source, error) : code;
}

static tipsc_code optimise_into(const ort *ort, const OrtEnv *env, OrtSessionOptions *options, const char *portable,
                                const char *optimised, const char *weights, const char *path, tipsc_error *error) {
    OrtSession *session = NULL;
    TRY(ort_done(ort, ort->set_intra_threads(options, 1), path, error));
    TRY(ort_done(ort, ort->set_log_severity(options, ORT_LOG_ERROR), path, error));
    TRY(ort_done(ort, ort->set_optimization(options, ORT_OPTIMIZE_ALL), path, error));
    TRY(ort_done(ort, ort->set_optimized_model(options, optimised), path, error));
    TRY(ort_done(ort, ort->add_config(options, "session.disable_prepacking", "1"), path, error)); /* it never runs */
    TRY(ort_done(ort, ort->add_config(options, "session.optimized_model_external_initializers_file_name", weights),
                 path, error));
    TRY(ort_done(ort, ort->add_config(options, "session.optimized_model_external_initializers_min_size_in_bytes",
                                      MIN_EXTERNAL), path, error));
    TRY(ort_done(ort, ort->create_session(env, portable, options, &session), path, error));
    ort->release_session(session);
    return TIPSC_OK;
}

static tipsc_code optimise(const ort *ort, const OrtEnv *env, const engine_file *file, const path_entry *path,
                           const char *folder, tipsc_error *error) {
    char portable[MOST_NAME], optimised[MOST_NAME], weights[MOST_NAME], about[128];
    const graph *graph = NULL;
    OrtSessionOptions *options = NULL;
    const char *id = path->id.text;
    TRY(checked_graph(file, path, &graph, error));
    TRY(named(portable, folder, id, ".portable.onnx", error)); /* beside the weights, which it names */
    TRY(named(optimised, folder, id, ".onnx", error));
    TRY(named(weights, folder, id, ".bin", error));
    TRY(write_file(portable, graph->data, graph->length, error));
    snprintf(about, sizeof about, "path %s", id);
    TRY(ort_done(ort, ort->create_session_options(&options), about, error));
    tipsc_code code = optimise_into(ort, env, options, portable, optimised, strrchr(weights, '/') + 1, about, error);
    ort->release_session_options(options);
    TRY(code);
    unlink(portable);
    uint64_t size = 0, most = (uint64_t)GROWTH * file->weights_length + MARGIN;
    struct stat found;
    if (stat(optimised, &found) == 0) size += (uint64_t)found.st_size;
    if (stat(weights, &found) == 0) size += (uint64_t)found.st_size;
    if (size <= most) return TIPSC_OK;
    return fail(error, TIPSC_DEVICE, "do not trust this engine",
                "path %s grew when ONNX Runtime worked out its constants (expected <= %llu bytes, got %llu)", id,
                (unsigned long long)most, (unsigned long long)size);
}

/* Where a tensor of a path's own weights goes in the weights of all. */
typedef struct placing {
    blob *blob;
    const uint8_t *weights;
    size_t length;
} placing;

static bool placed(void *user, reference from, uint64_t *offset) {
    placing *placing = user;
    if (from.offset > placing->length || from.length > placing->length - from.offset) return false;
    return blob_add(placing->blob, placing->weights + from.offset, (size_t)from.length, offset);
}

static bool put_row(void *user, const initializer *row) {
    writer *out = user;
    if (out->data[out->length - 1] != '[') put_text(out, ",");
    put_text(out, "[");
    put_json(out, (const char *)row->name.data, row->name.length);
    put_text(out, ",");
    put_number(out, row->element_type);
    put_text(out, ",[");
    for (size_t i = 0; i < row->rank; i++) {
        if (i) put_text(out, ",");
        put_number(out, row->shape[i]);
    }
    put_text(out, "],");
    put_number(out, row->data.offset);
    put_text(out, ",");
    put_number(out, row->data.length);
    put_text(out, "]");
    return !out->failed && is_utf8(row->name.data, row->name.length);
}

static tipsc_code gather(const char *folder, const char *id, blob *blob, writer *rows, tipsc_error *error) {
    char graph_name[MOST_NAME], weights_name[MOST_NAME];
    void *graph = NULL, *weights = NULL;
    size_t graph_length = 0, weights_length = 0;
    writer rewritten = {0};
    struct stat found;
    TRY(named(graph_name, folder, id, ".onnx", error));
    TRY(named(weights_name, folder, id, ".bin", error));
    TRY(read_file(graph_name, UINT32_MAX, &graph, &graph_length, error));
    tipsc_code code = TIPSC_OK;
    if (stat(weights_name, &found) == 0) /* a path may have no constant that is large */
        code = read_file(weights_name, SIZE_MAX / 2, &weights, &weights_length, error);
    placing placing = {blob, weights, weights_length};
    if (code == TIPSC_OK && !rewrite_external((bytes){graph, graph_length}, BLOB, placed, &placing, &rewritten))
        code = fail(error, TIPSC_DEVICE, NULL, "path %s: ONNX Runtime wrote a graph that cannot be read", id);
    put_text(rows, "[");
    if (code == TIPSC_OK && !external_initializers((bytes){rewritten.data, rewritten.length}, put_row, rows))
        code = fail(error, TIPSC_DEVICE, NULL, "path %s: ONNX Runtime wrote a graph that cannot be read", id);
    put_text(rows, "]");
    if (code == TIPSC_OK) code = write_file(graph_name, rewritten.data, rewritten.length, error);
    unlink(weights_name);
    writer_free(&rewritten);
    free(graph);
    free(weights);
    return code;
}

static int by_id(const void *a, const void *b) {
    return strcmp((*(const path_entry *const *)a)->id.text, (*(const path_entry *const *)b)->id.text);
}

static tipsc_code write_constants(const manifest *manifest, const writer *rows, const char *folder, tipsc_error *error) {
    char name[MOST_NAME];
    writer out = {0};
    const path_entry **sorted = calloc(manifest->path_count, sizeof *sorted);
    if (!sorted) return no_memory(error);
    for (size_t i = 0; i < manifest->path_count; i++) sorted[i] = &manifest->paths[i];
    qsort(sorted, manifest->path_count, sizeof *sorted, by_id);
    put_text(&out, "{");
    for (size_t i = 0; i < manifest->path_count; i++) {
        const writer *of_path = &rows[sorted[i] - manifest->paths];
        if (i) put_text(&out, ",");
        put_json(&out, sorted[i]->id.text, sorted[i]->id.length);
        put_text(&out, ":");
        put(&out, of_path->data, of_path->length);
        out.failed |= of_path->failed;
    }
    put_text(&out, "}");
    free(sorted);
    tipsc_code code = out.failed ? no_memory(error) : joined(name, folder, CONSTANTS, error);
    if (code == TIPSC_OK) code = write_file(name, out.data, out.length, error);
    writer_free(&out);
    return code;
}

tipsc_code ort_finalise(const ort *ort, const OrtEnv *env, const engine_file *file, const char *folder,
                        tipsc_error *error) {
    const manifest *manifest = &file->manifest;
    char weights[MOST_NAME], name[MOST_NAME];
    blob blob;
    TRY(joined(weights, folder, "weights", error)); /* as the portable graphs call it */
    TRY(write_weights(file, weights, error));
    for (size_t i = 0; i < manifest->path_count; i++)
        TRY(optimise(ort, env, file, &manifest->paths[i], folder, error));
    unlink(weights);
    writer *rows = calloc(manifest->path_count, sizeof *rows);
    tipsc_code code = rows && blob_make(&blob) ? TIPSC_OK : no_memory(error);
    /* The largest first, so that the others' tensors begin its own. */
    for (size_t i = manifest->path_count; code == TIPSC_OK && i--;)
        code = gather(folder, manifest->paths[i].id.text, &blob, &rows[i], error);
    if (code == TIPSC_OK) code = joined(name, folder, BLOB, error);
    if (code == TIPSC_OK) code = write_file(name, blob.content.data, blob.content.length, error);
    if (code == TIPSC_OK) code = write_constants(manifest, rows, folder, error);
    if (rows) blob_free(&blob);
    for (size_t i = 0; rows && i < manifest->path_count; i++) writer_free(&rows[i]);
    free(rows);
    return code;
}
