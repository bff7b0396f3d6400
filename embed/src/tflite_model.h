/* A .tflite that is being checked, and its tensors. */
#ifndef TIPSC_TFLITE_MODEL_H
#define TIPSC_TFLITE_MODEL_H

#include "tflite_shapes.h"

/* `error` and `where` are for errors. */
typedef struct tflite_model {
    flatbuffer buffer;
    fb_vector buffers, codes, graphs;
    const char *where;
    size_t graph, operator; /* that is being looked at */
    uint64_t parts, scales; /* that were looked at: tables may be shared, and stand for much work */
    tflite_tensor *inputs;  /* of an operator, as many as any has */
    tipsc_error *error;
} tflite_model;

/* A subgraph, and which of its tensors something has written. */
typedef struct tflite_graph {
    fb_row row;
    fb_vector tensors;
    uint8_t *known;
} tflite_graph;

tipsc_code tflite_refused(const tflite_model *model, const char *what);
/* Counts them, and refuses more than any model has. */
tipsc_code spend_scales(tflite_model *model, uint64_t scales);

/* All buffers, which tensors refer to. */
tipsc_code check_buffers(const tflite_model *model);
/* One tensor of a subgraph; a constant is known then. */
tipsc_code check_tensor(tflite_model *model, tflite_graph *graph, size_t index);
/* One that check_tensor has taken. */
tflite_tensor tensor_of(const tflite_model *model, const tflite_graph *graph, size_t index);

#endif
