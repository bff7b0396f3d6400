/* Rules of shapes that keep axes, order, add and remove them, join and divide along them. */
#include "tflite_rules.h"

/* ---- Rules that keep the shape, or broadcast ----------------------------------------------------- */

verdict rule_same(op op, given *given) { return shape_of(op, 0, &given->shape); }

verdict rule_along_axes(op op, given *given) {
    numbers values;
    size_t axis;
    DO(shape_of(op, 0, &given->shape));
    DO(numbers_of(op, 1, &values));
    for (size_t i = 0; i < values.count; i++) DO(axis_of(values.values[i], given->shape.rank, &axis));
    return NULL;
}

verdict rule_densify(op op, given *given) {
    DO(shape_of(op, 0, &given->shape));
    NEED(op->inputs[0].sparse, "DENSIFY of a tensor that is dense");
    return NULL;
}

verdict rule_broadcast(op op, given *given) {
    shape next;
    DO(shape_of(op, 0, &given->shape));
    for (size_t i = 1; i < op->input_count; i++) {
        DO(shape_of(op, i, &next));
        DO(broadcast(&given->shape, &next));
    }
    return NULL;
}

verdict rule_prelu(op op, given *given) {
    shape first, second, both;
    DO(shape_of(op, 0, &first));
    DO(shape_of(op, 1, &second));
    both = first;
    DO(broadcast(&both, &second));
    NEED(same_shape(&both, &first), "a slope of another shape");
    given->shape = first;
    return NULL;
}

verdict rule_broadcast_to(op op, given *given) {
    numbers values;
    shape first, both;
    DO(numbers_of(op, 1, &values));
    DO(as_shape(&values, &given->shape));
    DO(shape_of(op, 0, &first));
    both = first;
    DO(broadcast(&both, &given->shape));
    NEED(same_shape(&both, &given->shape), DIFFER);
    return NULL;
}

/* ---- Rules that order, add and remove axes ------------------------------------------------------- */

verdict rule_reshape(op op, given *given) {
    const tflite_tensor *first;
    numbers wanted = {.count = op->list.count};
    DO(input_of(op, 0, &first));
    if (op->input_count > 1) {
        DO(numbers_of(op, 1, &wanted));
    } else {
        NEED(wanted.count <= MOST_AXES, TOO_LARGE);
        for (size_t i = 0; i < wanted.count; i++) wanted.values[i] = fb_number_at(op->buffer, &op->list, i);
    }
    int64_t rest = 1, *open = NULL;
    for (size_t i = 0; i < wanted.count; i++) {
        int64_t n = wanted.values[i];
        if (n == -1) {
            NEED(!open, "two open sizes");
            open = &wanted.values[i];
            continue;
        }
        NEED(n >= 1 && n <= first->size, "another number of values");
        rest *= n; /* at most the square of a size */
        NEED(rest <= first->size, "another number of values");
    }
    NEED(first->size % rest == 0 && (open || rest == first->size), "another number of values");
    if (open) *open = first->size / rest;
    return as_shape(&wanted, &given->shape);
}

verdict rule_squeeze(op op, given *given) {
    shape first;
    bool gone[MOST_AXES] = {false};
    size_t axis;
    DO(shape_of(op, 0, &first));
    for (size_t i = 0; i < op->list.count; i++) {
        DO(axis_of(fb_number_at(op->buffer, &op->list, i), first.rank, &axis));
        NEED(first.axes[axis] == 1, "an axis that is longer than 1");
        gone[axis] = true;
    }
    for (size_t i = 0; i < first.rank; i++)
        if (op->list.count ? !gone[i] : first.axes[i] != 1) DO(append(&given->shape, first.axes[i]));
    return NULL;
}

static verdict insert(const shape *first, int64_t at, int64_t length, given *given) {
    size_t axis;
    DO(axis_of(at, first->rank + 1, &axis));
    DO(append_from(&given->shape, first, 0, axis));
    DO(append(&given->shape, length));
    return append_from(&given->shape, first, axis, first->rank);
}

static verdict without(const shape *first, size_t axis, given *given) {
    DO(append_from(&given->shape, first, 0, axis));
    return append_from(&given->shape, first, axis + 1, first->rank);
}

verdict rule_expand_dims(op op, given *given) {
    shape first;
    numbers at;
    DO(shape_of(op, 0, &first));
    DO(exactly(op, 1, 1, &at));
    return insert(&first, at.values[0], 1, given);
}

verdict rule_transpose(op op, given *given) {
    shape first;
    numbers order;
    bool taken[MOST_AXES] = {false};
    size_t axis;
    DO(shape_of(op, 0, &first));
    DO(exactly(op, 1, first.rank, &order));
    for (size_t i = 0; i < order.count; i++) {
        DO(axis_of(order.values[i], first.rank, &axis));
        NEED(!taken[axis], "no permutation");
        taken[axis] = true;
        DO(append(&given->shape, first.axes[axis]));
    }
    return NULL;
}

verdict rule_reduce(op op, given *given) {
    shape first;
    numbers axes;
    bool gone[MOST_AXES] = {false};
    size_t axis;
    DO(shape_of(op, 0, &first));
    DO(numbers_of(op, 1, &axes));
    for (size_t i = 0; i < axes.count; i++) {
        DO(axis_of(axes.values[i], first.rank, &axis));
        gone[axis] = true;
    }
    for (size_t i = 0; i < first.rank; i++)
        if (!gone[i] || option_of(op, OPTION_KEEP_DIMS)) DO(append(&given->shape, gone[i] ? 1 : first.axes[i]));
    return NULL;
}

verdict rule_arg(op op, given *given) {
    shape first;
    numbers at;
    size_t axis;
    DO(shape_of(op, 0, &first));
    DO(exactly(op, 1, 1, &at));
    DO(axis_of(at.values[0], first.rank, &axis));
    return without(&first, axis, given);
}

/* ---- Rules that join and divide ------------------------------------------------------------------ */

verdict rule_concatenation(op op, given *given) {
    shape next;
    size_t axis;
    DO(shape_of(op, 0, &given->shape));
    DO(axis_of(option_of(op, OPTION_AXIS), given->shape.rank, &axis));
    for (size_t i = 1; i < op->input_count; i++) {
        DO(shape_of(op, i, &next));
        NEED(next.rank == given->shape.rank && same_axes(&next, 0, &given->shape, 0, axis) &&
                 same_axes(&next, axis + 1, &given->shape, axis + 1, next.rank - axis - 1),
             DIFFER);
        given->shape.axes[axis] += next.axes[axis]; /* of at most 999 inputs */
    }
    return NULL;
}

verdict rule_pack(op op, given *given) {
    shape first, next;
    DO(shape_of(op, 0, &first));
    NEED(option_of(op, OPTION_VALUES_COUNT) == (int64_t)op->input_count, "another values_count than inputs");
    for (size_t i = 1; i < op->input_count; i++) {
        DO(shape_of(op, i, &next));
        NEED(same_shape(&next, &first), DIFFER);
    }
    return insert(&first, option_of(op, OPTION_AXIS), (int64_t)op->input_count, given);
}

verdict rule_unpack(op op, given *given) {
    shape first;
    size_t axis;
    DO(shape_of(op, 0, &first));
    DO(axis_of(option_of(op, OPTION_AXIS), first.rank, &axis));
    NEED(option_of(op, OPTION_NUM) == first.axes[axis], "another num than the axis has");
    given->count = (size_t)first.axes[axis];
    return without(&first, axis, given);
}

verdict rule_split(op op, given *given) {
    numbers at;
    int64_t parts;
    size_t axis;
    DO(exactly(op, 0, 1, &at));
    DO(shape_of(op, 1, &given->shape));
    DO(counted(op, OPTION_NUM_SPLITS, &parts));
    DO(axis_of(at.values[0], given->shape.rank, &axis));
    NEED(given->shape.axes[axis] % parts == 0, "parts that do not fit");
    given->shape.axes[axis] /= parts;
    given->count = (size_t)parts;
    return NULL;
}

verdict rule_split_v(op op, given *given) {
    numbers at;
    DO(shape_of(op, 0, &given->shape));
    DO(numbers_of(op, 1, &given->sizes));
    DO(exactly(op, 2, 1, &at));
    DO(axis_of(at.values[0], given->shape.rank, &given->axis));
    NEED(option_of(op, OPTION_NUM_SPLITS) == (int64_t)given->sizes.count, "another num_splits than sizes");
    int64_t left = given->shape.axes[given->axis];
    for (size_t i = 0; i < given->sizes.count; i++) {
        NEED(given->sizes.values[i] >= 1 && given->sizes.values[i] <= left, "sizes that do not fit");
        left -= given->sizes.values[i];
    }
    NEED(!left, "sizes that do not fit");
    given->count = given->sizes.count;
    return NULL;
}
