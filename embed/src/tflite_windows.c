/* Rules of shapes that take parts, enlarge, or move windows and multiply matrices. */
#include "tflite_rules.h"

enum { SAME = 0, VALID = 1 };

#define WEIGHTS "weights that do not fit"
#define BLOCKS "blocks that do not fit"

/* ---- Rules that take parts ----------------------------------------------------------------------- */

verdict rule_slice(op op, given *given) {
    shape first;
    numbers begins, sizes;
    DO(shape_of(op, 0, &first));
    DO(exactly(op, 1, first.rank, &begins));
    DO(exactly(op, 2, first.rank, &sizes));
    for (size_t i = 0; i < first.rank; i++) {
        int64_t n = first.axes[i], begin = begins.values[i], size = sizes.values[i];
        NEED(begin >= 0 && begin < n, "a slice beyond its input");
        if (size == -1) size = n - begin;
        NEED(size > 0 && size <= n - begin, "a slice beyond its input");
        DO(append(&given->shape, size));
    }
    return NULL;
}

static int64_t clamped(int64_t value, int64_t least, int64_t most) {
    return value < least ? least : value > most ? most : value;
}

/* How many of n elements a slice of Python takes; a bound that is left out is NULL. */
static int64_t sliced(int64_t n, const int64_t *begin, const int64_t *end, int64_t step) {
    int64_t lowest = step < 0 ? -1 : 0, highest = step < 0 ? n - 1 : n; /* that a bound is brought to */
    int64_t first = step < 0 ? highest : lowest, last = step < 0 ? lowest : highest;
    if (begin) first = clamped(*begin < 0 ? *begin + n : *begin, lowest, highest);
    if (end) last = clamped(*end < 0 ? *end + n : *end, lowest, highest);
    int64_t way = step < 0 ? first - last : last - first;
    if (step == INT64_MIN) step = INT64_MIN + 1;
    return way <= 0 ? 0 : (way - 1) / (step < 0 ? -step : step) + 1;
}

verdict rule_strided_slice(op op, given *given) {
    shape first;
    numbers begins, ends, steps;
    DO(shape_of(op, 0, &first));
    DO(exactly(op, 1, first.rank, &begins));
    DO(exactly(op, 2, first.rank, &ends));
    DO(exactly(op, 3, first.rank, &steps));
    NEED(!option_of(op, OPTION_ELLIPSIS_MASK) && !option_of(op, OPTION_NEW_AXIS_MASK) && !option_of(op, OPTION_OFFSET), "masks");
    for (size_t i = 0; i < first.rank; i++) {
        int64_t n = first.axes[i], bit = (int64_t)1 << i;
        NEED(steps.values[i], "a step of 0");
        if (option_of(op, OPTION_SHRINK_AXIS_MASK) & bit) {
            NEED(begins.values[i] >= -n && begins.values[i] < n && steps.values[i] == 1, "an index beyond its input");
            continue;
        }
        const int64_t *begin = option_of(op, OPTION_BEGIN_MASK) & bit ? NULL : &begins.values[i];
        const int64_t *end = option_of(op, OPTION_END_MASK) & bit ? NULL : &ends.values[i];
        DO(append(&given->shape, sliced(n, begin, end, steps.values[i])));
    }
    return NULL;
}

verdict rule_gather(op op, given *given) {
    shape first, indices;
    size_t axis;
    int64_t batch = option_of(op, OPTION_BATCH_DIMS);
    DO(shape_of(op, 0, &first));
    DO(shape_of(op, 1, &indices));
    DO(axis_of(option_of(op, OPTION_AXIS), first.rank, &axis));
    NEED(batch >= 0 && batch <= (int64_t)axis && batch <= (int64_t)indices.rank, "batch_dims that are not there");
    NEED(same_axes(&first, 0, &indices, 0, (size_t)batch), DIFFER);
    DO(append_from(&given->shape, &first, 0, axis));
    DO(append_from(&given->shape, &indices, (size_t)batch, indices.rank));
    return append_from(&given->shape, &first, axis + 1, first.rank);
}

verdict rule_gather_nd(op op, given *given) {
    shape first, indices;
    DO(shape_of(op, 0, &first));
    DO(shape_of(op, 1, &indices));
    NEED(indices.rank && indices.axes[indices.rank - 1] <= (int64_t)first.rank, "indices of more axes than the input");
    DO(append_from(&given->shape, &indices, 0, indices.rank - 1));
    return append_from(&given->shape, &first, (size_t)indices.axes[indices.rank - 1], first.rank);
}

verdict rule_embedding_lookup(op op, given *given) {
    shape indices, table;
    DO(shape_of(op, 0, &indices));
    DO(shape_of(op, 1, &table));
    NEED(indices.rank == 1 && table.rank > 1, DIFFER);
    given->shape = indices;
    return append_from(&given->shape, &table, 1, table.rank);
}

/* ---- Rules that enlarge -------------------------------------------------------------------------- */

/* Pads of at most `widest` beyond the axis's length; below 0: any. */
static verdict padded(op op, int64_t widest, given *given) {
    shape first, pads;
    numbers values;
    DO(shape_of(op, 0, &first));
    DO(shape_of(op, 1, &pads));
    NEED(pads.rank == 2 && pads.axes[0] == (int64_t)first.rank && pads.axes[1] == 2, "pads of another number of axes");
    DO(numbers_of(op, 1, &values));
    for (size_t i = 0; i < first.rank; i++) {
        int64_t length = first.axes[i];
        for (size_t k = 2 * i; k < 2 * i + 2; k++) {
            NEED(values.values[k] >= 0 && values.values[k] <= INT32_MAX, "a pad that cannot be");
            NEED(widest < 0 || values.values[k] <= first.axes[i] - 1 + widest, "a pad that is wider than its input");
            length += values.values[k];
        }
        DO(append(&given->shape, length));
    }
    return NULL;
}

verdict rule_pad(op op, given *given) { return padded(op, -1, given); }

verdict rule_mirror_pad(op op, given *given) {
    NEED(option_of(op, OPTION_MODE) == 0 || option_of(op, OPTION_MODE) == 1, "mode");
    return padded(op, option_of(op, OPTION_MODE), given);
}

verdict rule_filled(op op, given *given) {
    const tflite_tensor *value;
    numbers numbers;
    DO(input_of(op, 1, &value));
    NEED(value->size == 1, "a value that is several");
    DO(numbers_of(op, 0, &numbers));
    return as_shape(&numbers, &given->shape);
}

verdict rule_tile(op op, given *given) {
    shape first;
    numbers times;
    DO(shape_of(op, 0, &first));
    DO(exactly(op, 1, first.rank, &times));
    for (size_t i = 0; i < first.rank; i++) {
        NEED(times.values[i] >= 1 && times.values[i] <= INT32_MAX, "repeats that cannot be");
        DO(append(&given->shape, first.axes[i] * times.values[i]));
    }
    return NULL;
}

verdict rule_resize(op op, given *given) {
    shape first;
    numbers sizes;
    DO(ranked(op, 0, 4, &first));
    DO(exactly(op, 1, 2, &sizes));
    NEED(!option_of(op, OPTION_ALIGN_CORNERS) || !option_of(op, OPTION_HALF_PIXEL_CENTERS), "both corners");
    DO(append(&given->shape, first.axes[0]));
    DO(append(&given->shape, sizes.values[0]));
    DO(append(&given->shape, sizes.values[1]));
    return append(&given->shape, first.axes[3]);
}

verdict rule_space_to_depth(op op, given *given) {
    int64_t block;
    DO(ranked(op, 0, 4, &given->shape));
    DO(counted(op, OPTION_BLOCK_SIZE, &block));
    int64_t *axes = given->shape.axes;
    NEED(axes[1] % block == 0 && axes[2] % block == 0, BLOCKS);
    NEED(axes[3] <= INT32_MAX / block / block, TOO_LARGE);
    axes[1] /= block;
    axes[2] /= block;
    axes[3] *= block * block;
    return NULL;
}

verdict rule_depth_to_space(op op, given *given) {
    int64_t block;
    DO(ranked(op, 0, 4, &given->shape));
    DO(counted(op, OPTION_BLOCK_SIZE, &block));
    int64_t *axes = given->shape.axes;
    NEED(axes[3] % (block * block) == 0, BLOCKS);
    axes[1] *= block;
    axes[2] *= block;
    axes[3] /= block * block;
    return NULL;
}

/* ---- Windows and matrices ------------------------------------------------------------------------ */

/* How many places a window has along an axis of n. */
static verdict places(int64_t padding, int64_t n, int64_t window, int64_t stride, int64_t dilation, int64_t *count) {
    if (padding == VALID) n -= (window - 1) * dilation;
    NEED((padding == SAME || padding == VALID) && n > 0, "a window that is wider than its input");
    *count = (n + stride - 1) / stride;
    return NULL;
}

/* One axis of a convolution by the names of its options; `dilation` OPTION_NONE: 1. */
static verdict moved(op op, int64_t n, int64_t window, unsigned stride, unsigned dilation, shape *into) {
    int64_t step, apart = 1, count;
    DO(counted(op, stride, &step));
    if (dilation != OPTION_NONE) DO(counted(op, dilation, &apart));
    DO(places(option_of(op, OPTION_PADDING), n, window, step, apart, &count));
    return append(into, count);
}

verdict rule_pool(op op, given *given) {
    shape first;
    int64_t height, width;
    DO(ranked(op, 0, 4, &first));
    DO(counted(op, OPTION_FILTER_HEIGHT, &height));
    DO(counted(op, OPTION_FILTER_WIDTH, &width));
    DO(append(&given->shape, first.axes[0]));
    DO(moved(op, first.axes[1], height, OPTION_STRIDE_H, OPTION_NONE, &given->shape));
    DO(moved(op, first.axes[2], width, OPTION_STRIDE_W, OPTION_NONE, &given->shape));
    return append(&given->shape, first.axes[3]);
}

/* One that is there has a value for each channel of the output. */
static verdict bias(op op, size_t place, int64_t outputs) {
    bool there = place < op->input_count && op->inputs[place].dtype;
    NEED(!there || op->inputs[place].size == outputs, "a bias of another length");
    return NULL;
}

/* Windows in the axes 1 and 2 of both, then so many channels. */
static verdict convolved(op op, const shape *first, const shape *weights, int64_t outputs, given *given) {
    const tflite_tensor *there;
    DO(input_of(op, 2, &there)); /* LiteRT reads the bias, there or not */
    DO(bias(op, 2, outputs));
    DO(append(&given->shape, first->axes[0]));
    DO(moved(op, first->axes[1], weights->axes[1], OPTION_STRIDE_H, OPTION_DILATION_H, &given->shape));
    DO(moved(op, first->axes[2], weights->axes[2], OPTION_STRIDE_W, OPTION_DILATION_W, &given->shape));
    return append(&given->shape, outputs);
}

verdict rule_conv_2d(op op, given *given) {
    shape first, weights;
    DO(ranked(op, 0, 4, &first));
    DO(ranked(op, 1, 4, &weights));
    int64_t channels = first.axes[3], depth = weights.axes[3], outputs = weights.axes[0];
    NEED(channels % depth == 0 && outputs % (channels / depth) == 0, WEIGHTS);
    return convolved(op, &first, &weights, outputs, given);
}

verdict rule_depthwise(op op, given *given) {
    shape first, weights;
    int64_t multiplier;
    DO(ranked(op, 0, 4, &first));
    DO(ranked(op, 1, 4, &weights));
    DO(counted(op, OPTION_DEPTH_MULTIPLIER, &multiplier));
    NEED(weights.axes[0] == 1 && weights.axes[3] == first.axes[3] * multiplier, WEIGHTS);
    return convolved(op, &first, &weights, weights.axes[3], given);
}

verdict rule_conv_3d(op op, given *given) {
    shape first, weights;
    DO(ranked(op, 0, 5, &first));
    DO(ranked(op, 1, 5, &weights));
    NEED(first.axes[4] == weights.axes[3], WEIGHTS);
    DO(bias(op, 2, weights.axes[4]));
    DO(append(&given->shape, first.axes[0]));
    DO(moved(op, first.axes[1], weights.axes[0], OPTION_STRIDE_D, OPTION_DILATION_D, &given->shape));
    DO(moved(op, first.axes[2], weights.axes[1], OPTION_STRIDE_H, OPTION_DILATION_H, &given->shape));
    DO(moved(op, first.axes[3], weights.axes[2], OPTION_STRIDE_W, OPTION_DILATION_W, &given->shape));
    return append(&given->shape, weights.axes[4]);
}

verdict rule_transpose_conv(op op, given *given) {
    shape weights, last, there = {0};
    numbers wanted;
    DO(exactly(op, 0, 4, &wanted));
    DO(as_shape(&wanted, &given->shape));
    DO(ranked(op, 1, 4, &weights));
    DO(ranked(op, 2, 4, &last));
    const int64_t *axes = given->shape.axes;
    NEED(last.axes[3] == weights.axes[3] && axes[0] == last.axes[0] && axes[3] == weights.axes[0], WEIGHTS);
    DO(bias(op, 3, weights.axes[0]));
    DO(moved(op, axes[1], weights.axes[1], OPTION_STRIDE_H, OPTION_NONE, &there));
    DO(moved(op, axes[2], weights.axes[2], OPTION_STRIDE_W, OPTION_NONE, &there));
    NEED(same_axes(&there, 0, &last, 1, 2), "an output of another size");
    return NULL;
}

verdict rule_fully_connected(op op, given *given) {
    const tflite_tensor *first;
    shape weights;
    DO(input_of(op, 0, &first));
    DO(ranked(op, 1, 2, &weights));
    int64_t units = weights.axes[0], depth = weights.axes[1];
    NEED(!option_of(op, OPTION_WEIGHTS_FORMAT) && first->size % depth == 0, WEIGHTS);
    DO(bias(op, 2, units));
    if (option_of(op, OPTION_KEEP_NUM_DIMS)) {
        size_t rank = first->shape.rank;
        NEED(rank && first->shape.axes[rank - 1] == depth, WEIGHTS);
        DO(append_from(&given->shape, &first->shape, 0, rank - 1));
    } else {
        DO(append(&given->shape, first->size / depth));
    }
    return append(&given->shape, units);
}

verdict rule_batch_matmul(op op, given *given) {
    shape first, second;
    DO(shape_of(op, 0, &first));
    DO(shape_of(op, 1, &second));
    NEED(first.rank >= 2 && second.rank >= 2, "fewer than two axes");
    const int64_t *a = &first.axes[first.rank - 2], *b = &second.axes[second.rank - 2];
    bool turned_a = option_of(op, OPTION_ADJ_X), turned_b = option_of(op, OPTION_ADJ_Y);
    int64_t rows = a[turned_a], columns = b[!turned_b];
    NEED(a[!turned_a] == b[turned_b], DIFFER);
    shape outer = second;
    outer.rank -= 2;
    given->shape = first;
    given->shape.rank -= 2;
    DO(broadcast(&given->shape, &outer));
    DO(append(&given->shape, rows));
    return append(&given->shape, columns);
}
