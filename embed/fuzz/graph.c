/* Graphs of paths: what may be in them, and how much their constants grow. The signature is that of the tiny
 * net of the corpus. */
#include "graph.h"
#include "external.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same_place(void *user, reference from, uint64_t *offset) {
    (void)user;
    *offset = from.offset;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t image[] = {1, 3, 16, 16}, logits[] = {1, 10};
    static const tensor_spec input = {{"image", 5}, TIPSC_FLOAT32, 4, image, "NCHW", true, 0};
    static const tensor_spec output = {{"logits", 6}, TIPSC_FLOAT32, 2, logits, "N-", true, 0};
    static const path_entry path = {.id = {"path", 4}, .batch = 1};
    const manifest manifest = {.inputs = (tensor_spec *)&input, .input_count = 1,
                               .outputs = (tensor_spec *)&output, .output_count = 1};
    const graph graph = {.path = {"path", 4}, .data = data, .length = size};
    tipsc_error error = {.size = sizeof error};
    writer out = {0};
    check_graph(&graph, &manifest, &path, 1 << 16, &error);
    /* What ONNX Runtime wrote is read by other functions, and is no more to be believed. */
    rewrite_external((bytes){data, size}, "weights.bin", same_place, NULL, &out);
    writer_free(&out);
    return 0;
}
