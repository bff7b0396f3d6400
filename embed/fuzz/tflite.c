/* Files of LiteRT: their flatbuffer, tensors, operators and signatures. Input and output are those of the corpus's
 * plain net, whose signatures are its paths; most of the check comes before them. */
#include <stdlib.h>
#include <string.h>

#include "tflite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t image[] = {1, 8, 4, 4}, found[] = {1, 4, 4, 8};
    static const tensor_spec input = {{"input", 5}, TIPSC_FLOAT32, 4, image, "NCHW", true, 0};
    static const tensor_spec output = {{"output", 6}, TIPSC_FLOAT32, 4, found, "NHWC", true, 0};
    static const path_entry paths[] = {{.id = {"narrow", 6}, .batch = 1}, {.id = {"wide", 4}, .batch = 1}};
    const manifest manifest = {.inputs = (tensor_spec *)&input, .input_count = 1,
                               .outputs = (tensor_spec *)&output, .output_count = 1,
                               .paths = (path_entry *)paths, .path_count = 2};
    tipsc_error error = {.size = sizeof error};
    uint8_t *copy = malloc(size + 1); /* so that a byte too far is seen */
    if (!copy) return 0;
    memcpy(copy + 1, data, size); /* and no alignment is relied on */
    check_tflite(copy + 1, size, &manifest, "fuzzed", &error);
    free(copy);
    return 0;
}
