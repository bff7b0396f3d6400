#include <math.h>

#include "tflite_model.h"
#include "tflite_tables.h"

enum { ALIGNMENT = 64 };

/* The bytes of a buffer, in the flatbuffer or behind it; NULL: it is that of no constant. */
static const uint8_t *content_of(const flatbuffer *buffer, fb_row row, uint64_t *length) {
    uint64_t offset = (uint64_t)fb_number(buffer, row, BUFFER_OFFSET), size = (uint64_t)fb_number(buffer, row, BUFFER_SIZE);
    fb_vector inside = fb_several(buffer, row, BUFFER_DATA);
    bool behind = offset || size;
    *length = behind ? size : inside.count;
    return behind ? buffer->data + offset : inside.count ? buffer->data + inside.first : NULL;
}

tipsc_code check_buffers(const tflite_model *model) {
    for (size_t i = 0; i < model->buffers.count; i++) {
        fb_row row = fb_row_at(&model->buffer, &model->buffers, i);
        uint64_t offset = (uint64_t)fb_number(&model->buffer, row, BUFFER_OFFSET);
        uint64_t size = (uint64_t)fb_number(&model->buffer, row, BUFFER_SIZE), end = model->buffer.size;
        if (!offset && !size) continue;
        if (fb_several(&model->buffer, row, BUFFER_DATA).count || offset % ALIGNMENT || !offset || offset > end ||
            size > end - offset)
            return tflite_refused(model, "a buffer lies outside the file");
    }
    return TIPSC_OK;
}

tflite_tensor tensor_of(const tflite_model *model, const tflite_graph *graph, size_t index) {
    const flatbuffer *buffer = &model->buffer;
    fb_row row = fb_row_at(buffer, &graph->tensors, index);
    fb_vector axes = fb_several(buffer, row, TENSOR_SHAPE);
    tflite_tensor tensor = {.size = 1, .dtype = TYPES[fb_number(buffer, row, TENSOR_TYPE)]};
    uint64_t length;
    for (size_t i = 0; i < axes.count; i++) {
        tensor.shape.axes[tensor.shape.rank++] = fb_number_at(buffer, &axes, i);
        tensor.size *= tensor.shape.axes[i];
    }
    size_t number = (size_t)fb_number(buffer, row, TENSOR_BUFFER);
    tensor.content = content_of(buffer, fb_row_at(buffer, &model->buffers, number), &length);
    tensor.sparse = fb_inner(buffer, row, TENSOR_SPARSITY).at != 0;
    fb_row quantization = fb_inner(buffer, row, TENSOR_QUANTIZATION);
    if (quantization.at) tensor.scales = fb_several(buffer, quantization, QUANTIZATION_PARAMETERS_SCALE);
    return tensor;
}

/* What a zero point may be; 0: the type is no integer's. */
static bool zero_range(int dtype, int64_t *least, int64_t *most) {
    bool has_sign = dtype == TIPSC_INT8 || dtype == TIPSC_INT16 || dtype == TIPSC_INT32 || dtype == TIPSC_INT64;
    if (!has_sign && dtype != TIPSC_UINT8) return false;
    unsigned bits = 8 * (unsigned)element_bytes(dtype) - has_sign;
    *most = bits == 63 ? INT64_MAX : ((int64_t)1 << bits) - 1;
    *least = has_sign ? -*most - 1 : 0;
    return true;
}

static tipsc_code check_quantization(tflite_model *model, fb_row row, const tflite_tensor *tensor) {
    const flatbuffer *buffer = &model->buffer;
    fb_vector scales = fb_several(buffer, row, QUANTIZATION_PARAMETERS_SCALE);
    fb_vector zeros = fb_several(buffer, row, QUANTIZATION_PARAMETERS_ZERO_POINT);
    int64_t axis = fb_number(buffer, row, QUANTIZATION_PARAMETERS_QUANTIZED_DIMENSION), rank = (int64_t)tensor->shape.rank;
    TRY(spend_scales(model, (uint64_t)scales.count + zeros.count));
    if (axis < 0 || axis >= (rank ? rank : 1)) return tflite_refused(model, "a quantized dimension that is not there");
    if (scales.count > 1 && (!rank || scales.count != tensor->shape.axes[axis]))
        return tflite_refused(model, "a number of scales that does not fit");
    if (zeros.count && zeros.count != scales.count) return tflite_refused(model, "a number of zero points that does not fit");
    for (size_t i = 0; i < scales.count; i++) {
        float scale = fb_float_at(buffer, &scales, i);
        if (!(scale > 0 && isfinite(scale))) return tflite_refused(model, "a scale that is not positive");
    }
    int64_t least, most;
    if (!zero_range(tensor->dtype, &least, &most))
        return scales.count ? tflite_refused(model, "scales of what is not quantized") : TIPSC_OK;
    for (size_t i = 0; i < zeros.count; i++) {
        int64_t zero = fb_number_at(buffer, &zeros, i);
        if (zero < least || zero > most) return tflite_refused(model, "a zero point beyond its type");
    }
    return TIPSC_OK;
}

/* Axes in another order, and nothing left out. */
static tipsc_code check_sparsity(const tflite_model *model, fb_row row, const tflite_tensor *tensor) {
    const flatbuffer *buffer = &model->buffer;
    fb_vector order = fb_several(buffer, row, SPARSITY_PARAMETERS_TRAVERSAL_ORDER);
    fb_vector axes = fb_several(buffer, row, SPARSITY_PARAMETERS_DIM_METADATA);
    bool taken[MOST_AXES] = {false}, whole = order.count == tensor->shape.rank && axes.count == tensor->shape.rank;
    for (size_t i = 0; whole && i < tensor->shape.rank; i++) {
        int64_t axis = fb_number_at(buffer, &order, i);
        fb_row about = fb_row_at(buffer, &axes, i);
        whole = axis >= 0 && axis < (int64_t)tensor->shape.rank && !taken[axis] &&
                fb_number(buffer, about, DIMENSION_METADATA_FORMAT) == 0 &&
                fb_number(buffer, about, DIMENSION_METADATA_DENSE_SIZE) == tensor->shape.axes[axis];
        if (whole) taken[axis] = true;
    }
    if (!whole) return tflite_refused(model, "a sparse tensor that leaves something out");
    if (!tensor->content || tensor->dtype != TIPSC_FLOAT32)
        return tflite_refused(model, "a sparse tensor that is no constant of float32");
    return TIPSC_OK;
}

tipsc_code check_tensor(tflite_model *model, tflite_graph *graph, size_t index) {
    const flatbuffer *buffer = &model->buffer;
    fb_row row = fb_row_at(buffer, &graph->tensors, index);
    int64_t type = fb_number(buffer, row, TENSOR_TYPE), values = 1;
    if (type < 0 || type >= (int64_t)sizeof TYPES || !TYPES[type]) return tflite_refused(model, "not a type of engines");
    fb_vector axes = fb_several(buffer, row, TENSOR_SHAPE);
    if (axes.count > MOST_AXES) return tflite_refused(model, "a shape of too many axes");
    for (size_t i = 0; i < axes.count; i++) {
        int64_t length = fb_number_at(buffer, &axes, i);
        if (length < 1) return tflite_refused(model, "not a static shape");
        values *= length; /* at most the square of MOST_VALUES */
        if (values > MOST_VALUES) return tflite_refused(model, "a tensor of more values than any has");
    }
    int64_t number = fb_number(buffer, row, TENSOR_BUFFER);
    if (number >= (int64_t)model->buffers.count) return tflite_refused(model, "there is no such buffer");
    uint64_t length;
    bool constant = content_of(buffer, fb_row_at(buffer, &model->buffers, (size_t)number), &length) != NULL;
    tflite_tensor tensor = tensor_of(model, graph, index);
    if (constant && length != (uint64_t)values * element_bytes(tensor.dtype))
        return tflite_refused(model, "a buffer has another length than its tensor's shape");
    fb_row quantization = fb_inner(buffer, row, TENSOR_QUANTIZATION), sparsity = fb_inner(buffer, row, TENSOR_SPARSITY);
    if (quantization.at) TRY(check_quantization(model, quantization, &tensor));
    if (sparsity.at) TRY(check_sparsity(model, sparsity, &tensor));
    graph->known[index] = constant;
    return TIPSC_OK;
}
