/* What the rules of shapes are made of.
 *
 * What a rule gives is compared with a tensor's shape, so a rule may refuse early what no tensor has: more axes
 * than MOST_AXES, or one that is not from 1 to INT32_MAX. That bounds every product. */
#ifndef TIPSC_TFLITE_RULES_H
#define TIPSC_TFLITE_RULES_H

#include "tflite_shapes.h"
#include "tflite_tables.h"

typedef const operation *op;
typedef const char *verdict; /* NULL: it fits; else what does not */

#define NEED(holds, what)          \
    do {                           \
        if (!(holds)) return what; \
    } while (0)
#define DO(call)                 \
    do {                         \
        verdict said_ = (call);  \
        if (said_) return said_; \
    } while (0)

#define DIFFER "shapes that differ"
#define TOO_LARGE "a shape beyond those of engines"

/* An option by its OPTION_..., and one that counts something. */
int64_t option_of(op op, unsigned name);
verdict counted(op op, unsigned name, int64_t *value);

/* An input that is there, its shape, and that if it has so many axes. */
verdict input_of(op op, size_t place, const tflite_tensor **tensor);
verdict shape_of(op op, size_t place, shape *shape);
verdict ranked(op op, size_t place, size_t rank, shape *shape);

/* The values of an input that has to be a short constant of integers, and those if they are so many. */
verdict numbers_of(op op, size_t place, numbers *found);
verdict exactly(op op, size_t place, size_t count, numbers *found);

/* Axis `value` of so many; below 0 it counts from the end. */
verdict axis_of(int64_t value, size_t rank, size_t *axis);

verdict append(shape *shape, int64_t length);
verdict append_from(shape *to, const shape *from, size_t first, size_t end);
verdict as_shape(const numbers *numbers, shape *shape);
bool same_axes(const shape *a, size_t from_a, const shape *b, size_t from_b, size_t count);
bool same_shape(const shape *a, const shape *b);
/* `other` is broadcast into `shape`. */
verdict broadcast(shape *shape, const struct shape *other);

#define DECLARE_RULE(NAME, name) verdict rule_##name(op op, given *given);
RULES(DECLARE_RULE)

#endif
