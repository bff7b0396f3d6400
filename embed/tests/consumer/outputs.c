/* outputs ENGINE RUNTIME INPUT: the bytes that each path gives for an input, one after the other, on stdout. */
#include <stdio.h>
#include <stdlib.h>
#include <tipsc.h>

static int stop(const tipsc_error *error) { return fprintf(stderr, "%s; %s\n", error->text, error->fix), 1; }

static void *read_all(const char *name, size_t bytes) {
    void *content = malloc(bytes);
    FILE *file = fopen(name, "rb");
    if (!content || !file || fread(content, 1, bytes, file) != bytes) exit(2);
    fclose(file);
    return content;
}

int main(int count, char **arguments) {
    tipsc_error error = {.size = sizeof error};
    tipsc_engine *engine;
    tipsc_context *context;
    tipsc_engine_info about = {.size = sizeof about};
    if (count != 4 || tipsc_abi() != TIPSC_ABI) return 100;
    tipsc_options options = {.size = sizeof options, .runtime = arguments[2]};
    if (tipsc_open(arguments[1], &options, &engine, &error) || tipsc_context_new(engine, &context, &error) ||
        tipsc_describe(engine, &about, &error))
        return stop(&error);
    for (size_t path = 0; path < about.path_count; path++) {
        tipsc_tensor_info taken = {.size = sizeof taken}, given = {.size = sizeof given};
        if (tipsc_describe_input(engine, path, 0, &taken, &error) || tipsc_describe_output(engine, path, 0, &given, &error))
            return stop(&error);
        tipsc_buffer input = {read_all(arguments[3], taken.bytes), taken.bytes};
        tipsc_buffer output = {malloc(given.bytes), given.bytes};
        if (tipsc_run(context, path, &input, 1, &output, 1, &error)) return stop(&error);
        fwrite(output.data, 1, output.bytes, stdout);
        free(input.data);
        free(output.data);
    }
    tipsc_context_free(context);
    tipsc_close(engine);
    return 0;
}
