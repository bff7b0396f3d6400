/* LiteRT works shapes out by itself, and believes that the rest of the file fits: where a stride is zero, an axis
 * is not there or weights are shorter than their shape, it divides, reads or allocates all the same. So each
 * tensor must have the shape that its operator gives. */
#include "tflite_rules.h"

enum { MOST_COUNTED = (1 << 20) - 1 };

int64_t option_of(op op, unsigned name) { return op->options[name]; }

verdict input_of(op op, size_t place, const tflite_tensor **tensor) {
    NEED(place < op->input_count && op->inputs[place].dtype, "an input is missing");
    *tensor = &op->inputs[place];
    return NULL;
}

verdict shape_of(op op, size_t place, shape *shape) {
    const tflite_tensor *tensor;
    DO(input_of(op, place, &tensor));
    *shape = tensor->shape;
    return NULL;
}

verdict ranked(op op, size_t place, size_t rank, shape *shape) {
    DO(shape_of(op, place, shape));
    NEED(shape->rank == rank, "another number of axes");
    return NULL;
}

verdict numbers_of(op op, size_t place, numbers *found) {
    static const char what[] = "no short constant of integers";
    const tflite_tensor *tensor;
    DO(input_of(op, place, &tensor));
    NEED(tensor->content && tensor->size <= MOST_NUMBERS, what);
    NEED(tensor->dtype == TIPSC_INT32 || tensor->dtype == TIPSC_INT64, what);
    found->count = (size_t)tensor->size;
    for (size_t i = 0; i < found->count; i++) {
        uint64_t bits = 0;
        size_t width = tensor->dtype == TIPSC_INT32 ? 4 : 8;
        for (size_t k = 0; k < width; k++) bits |= (uint64_t)tensor->content[i * width + k] << 8 * k;
        found->values[i] = width == 4 ? (int32_t)bits : (int64_t)bits;
    }
    return NULL;
}

verdict exactly(op op, size_t place, size_t count, numbers *found) {
    DO(numbers_of(op, place, found));
    NEED(found->count == count, "another number of numbers");
    return NULL;
}

verdict axis_of(int64_t value, size_t rank, size_t *axis) {
    int64_t count = (int64_t)rank;
    NEED(value >= -count && value < count, "an axis that is not there");
    *axis = (size_t)(value < 0 ? value + count : value);
    return NULL;
}

verdict counted(op op, unsigned name, int64_t *value) {
    *value = option_of(op, name);
    NEED(*value >= 1 && *value <= MOST_COUNTED, "a count that is none");
    return NULL;
}

verdict append(shape *shape, int64_t length) {
    NEED(shape->rank < MOST_AXES && length >= 1 && length <= INT32_MAX, TOO_LARGE);
    shape->axes[shape->rank++] = length;
    return NULL;
}

verdict append_from(shape *to, const shape *from, size_t first, size_t end) {
    for (size_t i = first; i < end; i++) DO(append(to, from->axes[i]));
    return NULL;
}

verdict as_shape(const numbers *numbers, shape *shape) {
    shape->rank = 0;
    for (size_t i = 0; i < numbers->count; i++) DO(append(shape, numbers->values[i]));
    return NULL;
}

bool same_axes(const shape *a, size_t from_a, const shape *b, size_t from_b, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (a->axes[from_a + i] != b->axes[from_b + i]) return false;
    return true;
}

bool same_shape(const shape *a, const shape *b) { return a->rank == b->rank && same_axes(a, 0, b, 0, a->rank); }

verdict broadcast(shape *shape, const struct shape *other) {
    const struct shape *longer = shape->rank >= other->rank ? shape : other;
    const struct shape *shorter = longer == shape ? other : shape;
    struct shape found = *longer;
    size_t ahead = longer->rank - shorter->rank;
    for (size_t i = 0; i < shorter->rank; i++) {
        int64_t n = longer->axes[ahead + i], m = shorter->axes[i];
        NEED(n == m || n == 1 || m == 1, DIFFER);
        found.axes[ahead + i] = n > m ? n : m;
    }
    *shape = found;
    return NULL;
}

#define NAME_RULE(NAME, name) [RULE_##NAME] = rule_##name,
static verdict (*const OF_RULES[RULE_COUNT])(op, given *) = {RULES(NAME_RULE)};

const char *shapes_of(unsigned rule, const operation *operation, given *given) {
    *given = (struct given){.count = 1};
    DO(OF_RULES[rule](operation, given));
    NEED(given->count == operation->output_count, "another number of outputs");
    return NULL;
}
