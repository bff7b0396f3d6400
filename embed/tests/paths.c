/* paths ENGINE RUNTIME INPUTS [ID...]: opens all paths, or those of the ids, runs each of them twice in turn, and
 * writes what all outputs of each are, one after the other, on stdout. INPUTS is a file whose first bytes are the
 * inputs of a path, one after the other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tipsc.h"

enum { MOST_TENSORS = 16, MOST_PATHS = 64 };
typedef struct tensors {
    tipsc_buffer buffers[MOST_TENSORS];
} tensors;
typedef tipsc_code (*describe)(const tipsc_engine *, size_t, size_t, tipsc_tensor_info *, tipsc_error *);

static tipsc_error error = {.size = sizeof error};

static void must(tipsc_code code) {
    if (!code) return;
    fprintf(stderr, "%s; %s\n", error.text, error.fix);
    exit(1);
}

static tensors make(const tipsc_engine *engine, size_t path, size_t count, describe described) {
    tensors made = {0};
    if (count > MOST_TENSORS) exit(2);
    for (size_t i = 0; i < count; i++) {
        tipsc_tensor_info info = {.size = sizeof info};
        must(described(engine, path, i, &info, &error));
        made.buffers[i] = (tipsc_buffer){malloc((size_t)info.bytes), (size_t)info.bytes};
        if (!made.buffers[i].data) exit(2);
    }
    return made;
}

static void drop(tensors *made) {
    for (size_t i = 0; i < MOST_TENSORS; i++) free(made->buffers[i].data);
}

static void run(tipsc_context *context, size_t path, const tipsc_engine_info *about, const char *file,
                const tipsc_engine *engine, tensors *outputs) {
    tensors inputs = make(engine, path, about->input_count, tipsc_describe_input);
    FILE *from = fopen(file, "rb");
    for (size_t i = 0; i < about->input_count; i++)
        if (!from || fread(inputs.buffers[i].data, 1, inputs.buffers[i].bytes, from) != inputs.buffers[i].bytes) exit(2);
    fclose(from);
    must(tipsc_run(context, path, inputs.buffers, about->input_count, outputs->buffers, about->output_count, &error));
    drop(&inputs);
}

int main(int count, char **words) {
    static tensors outputs[2][MOST_PATHS];
    tipsc_engine *engine;
    tipsc_context *context;
    tipsc_engine_info about = {.size = sizeof about};
    if (count < 4) return 2;
    tipsc_options options = {.size = sizeof options, .runtime = words[2], .path_count = (uint32_t)(count - 4),
                             .paths = (const char *const *)words + 4};
    must(tipsc_open(words[1], &options, &engine, &error));
    must(tipsc_context_new(engine, &context, &error));
    must(tipsc_describe(engine, &about, &error));
    if (about.path_count > MOST_PATHS) return 2;
    for (int round = 0; round < 2; round++)
        for (size_t path = 0; path < about.path_count; path++) {
            outputs[round][path] = make(engine, path, about.output_count, tipsc_describe_output);
            run(context, path, &about, words[3], engine, &outputs[round][path]);
        }
    int wrong = 0;
    for (size_t path = 0; path < about.path_count; path++) {
        for (size_t i = 0; i < about.output_count; i++) {
            const tipsc_buffer *one = &outputs[0][path].buffers[i], *other = &outputs[1][path].buffers[i];
            wrong |= memcmp(one->data, other->data, one->bytes) != 0;
            fwrite(one->data, 1, one->bytes, stdout);
        }
        drop(&outputs[0][path]);
        drop(&outputs[1][path]);
    }
    tipsc_close(engine);
    tipsc_context_free(context);
    return wrong ? 3 : 0;
}
