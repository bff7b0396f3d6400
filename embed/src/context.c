/* Run paths: check the buffers, then let the runtime work. */
#include "context.h"

#include <stdlib.h>

tipsc_code tipsc_context_new(tipsc_engine *engine, tipsc_context **context, tipsc_error *error) {
    if (!engine || !context) return fail(error, TIPSC_USAGE, NULL, "there is no engine, or nowhere to put the context");
    tipsc_context *made = calloc(1, sizeof *made + engine->path_count * sizeof *made->bindings);
    if (!made) return no_memory(error);
    made->engine = engine;
    engine_hold(engine);
    *context = made;
    return TIPSC_OK;
}

void tipsc_context_free(tipsc_context *context) {
    if (!context) return;
    tipsc_engine *engine = context->engine;
    for (size_t i = 0; i < engine->path_count; i++)
        if (context->bindings[i]) engine->runtime->kind->unbind(engine->runtime, context->bindings[i]);
    free(context);
    engine_let_go(engine);
}

static tipsc_code check_buffers(const tensor *tensors, size_t expected, const tipsc_buffer *buffers, size_t count,
                                const char *what, tipsc_error *error) {
    if (count != expected || (count && !buffers))
        return fail(error, TIPSC_USAGE, NULL, "wrong number of %ss (expected %zu, got %zu)", what, expected, count);
    for (size_t i = 0; i < count; i++) {
        const char *name = tensors[i].spec->name.text;
        if (buffers[i].bytes != tensors[i].bytes)
            return fail(error, TIPSC_USAGE, "tipsc_describe_input and tipsc_describe_output give the size",
                        "%s %.60s does not fit (expected %llu bytes, got %zu)", what, name,
                        (unsigned long long)tensors[i].bytes, buffers[i].bytes);
        if (!buffers[i].data || (uintptr_t)buffers[i].data % element_bytes(tensors[i].spec->dtype))
            return fail(error, TIPSC_USAGE, "give an address that is a multiple of an element's size",
                        "%s %.60s is at no usable address", what, name);
    }
    return TIPSC_OK;
}

static tipsc_code run_open(tipsc_context *context, size_t path, const tipsc_buffer *inputs, const tipsc_buffer *outputs,
                           tipsc_error *error) {
    runtime *runtime = context->engine->runtime;
    void **binding = &context->bindings[path];
    if (!*binding) TRY(runtime->kind->bind(runtime, path, binding, error));
    return runtime->kind->run(runtime, path, *binding, inputs, outputs, error);
}

tipsc_code tipsc_run(tipsc_context *context, size_t path, const tipsc_buffer *inputs, size_t input_count,
                     const tipsc_buffer *outputs, size_t output_count, tipsc_error *error) {
    if (!context) return fail(error, TIPSC_USAGE, NULL, "there is no context");
    tipsc_engine *engine = context->engine;
    if (path >= engine->path_count)
        return fail(error, TIPSC_PATH, NULL, "the engine has no path %zu (expected less than %zu)", path,
                    engine->path_count);
    const opened_path *opened = &engine->paths[path];
    TRY(check_buffers(opened->inputs, engine->file.manifest.input_count, inputs, input_count, "input", error));
    TRY(check_buffers(opened->outputs, engine->file.manifest.output_count, outputs, output_count, "output", error));
    if (!engine->runtime)
        return fail(error, TIPSC_USAGE, "open it without TIPSC_ONLY_READ", "the engine was only read");
    if (!calls_enter(&engine->calls)) return fail(error, TIPSC_CLOSED, "open it again", "the engine is closed");
    tipsc_code code = run_open(context, path, inputs, outputs, error);
    calls_leave(&engine->calls);
    return code;
}
