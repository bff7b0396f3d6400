/* What shapes an operator of a .tflite gives: the rules of docs/engine-format.md, "Operators". */
#ifndef TIPSC_TFLITE_SHAPES_H
#define TIPSC_TFLITE_SHAPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flatbuffer.h"

enum { MOST_AXES = 6, MOST_VALUES = INT32_MAX };

/* Axes from 1 to INT32_MAX each. */
typedef struct shape {
    size_t rank;
    int64_t axes[MOST_AXES];
} shape;

/* A tensor of a subgraph. */
typedef struct tflite_tensor {
    shape shape;
    int64_t size;           /* how many values: at most MOST_VALUES */
    int dtype;              /* a tipsc_dtype */
    const uint8_t *content; /* of a constant; NULL of what is computed */
    bool sparse;            /* its axes are stored in another order */
    fb_vector scales;       /* of a quantized one */
} tflite_tensor;

/* Integers of a short constant. */
enum { MOST_NUMBERS = 64 };
typedef struct numbers {
    size_t count;
    int64_t values[MOST_NUMBERS];
} numbers;

/* One operator in its place. */
typedef struct operation {
    const tflite_tensor *inputs; /* `dtype` 0: one that is left out */
    size_t input_count, output_count;
    const int64_t *options;      /* by OPTION_... of tflite_tables.h; zeros if there are none */
    const flatbuffer *buffer;
    fb_vector list;              /* the option that is a list: new_shape or squeeze_dims */
} operation;

/* What it gives: outputs of this shape, but for the lengths along one axis if there are `sizes`. */
typedef struct given {
    shape shape;
    size_t count;
    size_t axis;
    numbers sizes;
} given;

/* NULL, or what does not fit. */
const char *shapes_of(unsigned rule, const operation *operation, given *given);

#endif
