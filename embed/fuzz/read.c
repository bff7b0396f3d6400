/* Engine files, whose hashes do not matter in this build. */
#include <stdlib.h>

#include "tipsc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* What untrusted files are opened with; it keeps a run short as well. */
    const tipsc_options options = {.size = sizeof options, .flags = TIPSC_ONLY_READ, .manifest_bytes = 1 << 20,
                                   .graph_bytes = 1 << 20};
    tipsc_error error = {.size = sizeof error};
    tipsc_engine *engine = NULL;
    if (!size || tipsc_open_memory(data, size, &options, &engine, &error)) return 0;
    tipsc_engine_info about = {.size = sizeof about};
    tipsc_path_info path = {.size = sizeof path};
    tipsc_tensor_info tensor = {.size = sizeof tensor};
    size_t found;
    if (tipsc_describe(engine, &about, &error) || !about.path_count) abort();
    for (size_t i = 0; i < about.path_count; i++) {
        if (tipsc_describe_path(engine, i, &path, &error) || tipsc_find(engine, path.id, &found, &error) || found != i)
            abort();
        for (size_t k = 0; k < about.input_count; k++)
            if (tipsc_describe_input(engine, i, k, &tensor, &error) || !tensor.bytes) abort();
    }
    tipsc_governor *governor = NULL;
    if (!tipsc_governor_new(engine, NULL, &governor, &error)) {
        const tipsc_demand demand = {.size = sizeof demand, .budget_ms = 5};
        tipsc_result result = {.size = sizeof result};
        char text[4096];
        tipsc_governor_pick(governor, &demand, &result, &error);
        tipsc_governor_explain(governor, &demand, text, sizeof text, &error);
        tipsc_governor_free(governor);
    }
    tipsc_close(engine);
    return 0;
}
