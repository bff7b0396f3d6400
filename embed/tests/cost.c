/* What libtipsc costs, as JSON.
 *
 *     cost ENGINE RUNTIME
 *
 * Opening; private memory when each path has run once; and a call of the fastest path, by tipsc_run and by
 * OrtApi's own Run on a session of the same finalised graph. Both calls are timed in turns, in blocks; what is
 * said is the tenth percentile of blocks, which other processes disturb least. */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "context.h"
#include "ort_library.h"

enum { BLOCKS = 1000, CALLS = 20, WARM_UP = 50, MOST_TENSORS = 16 };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void must(tipsc_code code, const tipsc_error *error) {
    if (!code) return;
    fprintf(stderr, "%s; %s\n", error->text, error->fix);
    exit(1);
}

static long private_kb(void) {
    char line[256];
    long sum = 0, found;
    FILE *rollup = fopen("/proc/self/smaps_rollup", "r");
    while (rollup && fgets(line, sizeof line, rollup))
        if (sscanf(line, "Private_Clean: %ld", &found) == 1 || sscanf(line, "Private_Dirty: %ld", &found) == 1) sum += found;
    if (rollup) fclose(rollup);
    return sum;
}

static int by_size(const void *a, const void *b) {
    double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

static void buffers_of(const tensor *tensors, size_t count, tipsc_buffer *buffers) {
    for (size_t i = 0; i < count; i++) {
        buffers[i].bytes = (size_t)tensors[i].bytes;
        buffers[i].data = calloc(1, buffers[i].bytes + 8);
        if (!buffers[i].data) exit(2);
    }
}

/* The raw call: a session and values of its own, made as the library makes them. */
typedef struct raw {
    ort ort;
    OrtEnv *env;
    OrtSession *session;
    OrtValue *values[2 * MOST_TENSORS];
    const char *names[2 * MOST_TENSORS];
    size_t taken, given;
} raw;

static void raw_open(raw *raw, const tipsc_engine *engine, const char *runtime, const char *graph,
                     const tipsc_buffer *inputs, const tipsc_buffer *outputs) {
    tipsc_error error = {.size = sizeof error};
    const manifest *manifest = &engine->file.manifest;
    OrtSessionOptions *options = NULL;
    OrtMemoryInfo *memory = NULL;
    must(ort_load(&raw->ort, runtime, &error), &error);
    ort *ort = &raw->ort;
    must(ort_done(ort, ort->create_env(ORT_LOG_ERROR, "raw", &raw->env), "env", &error), &error);
    must(ort_done(ort, ort->create_session_options(&options), "options", &error), &error);
    must(ort_done(ort, ort->set_intra_threads(options, 1), "options", &error), &error);
    must(ort_done(ort, ort->set_optimization(options, ORT_OPTIMIZE_NOTHING), "options", &error), &error);
    must(ort_done(ort, ort->add_config(options, "session.disable_prepacking", "1"), "options", &error), &error);
    must(ort_done(ort, ort->add_config(options, "session.use_env_allocators", "1"), "options", &error), &error);
    must(ort_done(ort, ort->create_session(raw->env, graph, options, &raw->session), "session", &error), &error);
    must(ort_done(ort, ort->create_cpu_memory(ORT_ARENA_ALLOCATOR, ORT_MEMORY_DEFAULT, &memory), "memory", &error), &error);
    raw->taken = manifest->input_count;
    raw->given = manifest->output_count;
    for (size_t i = 0; i < raw->taken + raw->given; i++) {
        int input = i < raw->taken;
        const tensor *tensor = input ? &engine->paths[0].inputs[i] : &engine->paths[0].outputs[i - raw->taken];
        const tipsc_buffer *buffer = input ? &inputs[i] : &outputs[i - raw->taken];
        raw->names[i] = tensor->spec->name.text;
        must(ort_done(ort, ort->create_tensor(memory, buffer->data, buffer->bytes, tensor->shape, tensor->spec->rank,
                                              tensor->spec->dtype, &raw->values[i]), "tensor", &error), &error);
    }
}

static void raw_run(raw *raw) {
    if (raw->ort.run(raw->session, NULL, raw->names, (const OrtValue *const *)raw->values, raw->taken,
                     raw->names + raw->taken, raw->given, raw->values + raw->taken))
        exit(3);
}

/* The finalised graph of a path, beside the engine. */
static void graph_of(const char *engine, const char *id, char *into, size_t room) {
    char folder[4000];
    snprintf(folder, sizeof folder, "%s-cache", engine);
    DIR *listed = opendir(folder);
    for (struct dirent *entry; listed && (entry = readdir(listed));)
        if (entry->d_name[0] != '.') snprintf(into, room, "%s/%.64s/%s.onnx", folder, entry->d_name, id);
    if (listed) closedir(listed);
}

int main(int count, char **arguments) {
    tipsc_error error = {.size = sizeof error};
    tipsc_engine *engine = NULL;
    tipsc_context *context = NULL;
    static tipsc_buffer inputs[MOST_TENSORS], outputs[MOST_TENSORS];
    static raw raw;
    char graph[4200] = "";
    if (count != 3) return 100;
    tipsc_options options = {.size = sizeof options, .runtime = arguments[2]};
    double start = now();
    must(tipsc_open(arguments[1], &options, &engine, &error), &error);
    double opened = now();
    must(tipsc_context_new(engine, &context, &error), &error);
    size_t taken = engine->file.manifest.input_count, given = engine->file.manifest.output_count;
    if (taken > MOST_TENSORS || given > MOST_TENSORS) return 2;
    for (size_t path = 0; path < engine->path_count; path++) {
        buffers_of(engine->paths[path].inputs, taken, inputs);
        buffers_of(engine->paths[path].outputs, given, outputs);
        must(tipsc_run(context, path, inputs, taken, outputs, given, &error), &error);
    }
    long memory = private_kb();
    buffers_of(engine->paths[0].inputs, taken, inputs);
    buffers_of(engine->paths[0].outputs, given, outputs);
    graph_of(arguments[1], engine->paths[0].entry->id.text, graph, sizeof graph);
    raw_open(&raw, engine, arguments[2], graph, inputs, outputs);
    static double ours[BLOCKS], theirs[BLOCKS];
    for (int block = -WARM_UP; block < BLOCKS; block++) {
        double first = now();
        for (int i = 0; i < CALLS; i++) raw_run(&raw);
        double second = now();
        for (int i = 0; i < CALLS; i++) must(tipsc_run(context, 0, inputs, taken, outputs, given, &error), &error);
        double third = now();
        if (block < 0) continue;
        theirs[block] = (second - first) / CALLS * 1e6;
        ours[block] = (third - second) / CALLS * 1e6;
    }
    qsort(ours, BLOCKS, sizeof *ours, by_size);
    qsort(theirs, BLOCKS, sizeof *theirs, by_size);
    double raw_us = theirs[BLOCKS / 10], us = ours[BLOCKS / 10];
    printf("{\"open_ms\": %.3f, \"private_kb\": %ld, \"raw_call_us\": %.3f, \"call_us\": %.3f, \"over_raw_us\": %.3f}\n",
           (opened - start) * 1e3, memory, raw_us, us, us - raw_us);
    tipsc_context_free(context);
    tipsc_close(engine);
    return 0;
}
