#include "tflite.h"

#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "map.h"
#include "tflite_model.h"
#include "tflite_tables.h"

enum { MODEL_OF_VERSION = 3, MOST_INPUTS = 999, FUSED = 3, PADDINGS = 1,
       MOST_PARTS = 1 << 22, MOST_SCALES = 1 << 26 };

static const fb_schema SCHEMA = {TABLES, UNION, sizeof UNION};

tipsc_code tflite_refused(const tflite_model *model, const char *what) {
    return fail(model->error, TIPSC_DAMAGED, "build the engine again with tipsc", "%s: model: %s", model->where, what);
}

static tipsc_code refused_in(const tflite_model *model, const tflite_operator *kind, const char *what) {
    return fail(model->error, TIPSC_DAMAGED, "build the engine again with tipsc",
                "%s: model: subgraph %zu, operator %zu (%s): %s", model->where, model->graph, model->operator, kind->name,
                what);
}

static tipsc_code spend(tflite_model *model, uint64_t parts) {
    model->parts += parts;
    return model->parts <= MOST_PARTS ? TIPSC_OK : tflite_refused(model, "more parts than any model has");
}

tipsc_code spend_scales(tflite_model *model, uint64_t scales) {
    model->scales += scales;
    return model->scales <= MOST_SCALES ? TIPSC_OK : tflite_refused(model, "more scales than any model has");
}

/* ---- Operators ----------------------------------------------------------------------------------- */

static const tflite_operator *kind_of(const flatbuffer *buffer, fb_row code) {
    /* Two fields, since the old one is a byte: the larger number counts. */
    int64_t old = fb_number(buffer, code, OPERATOR_CODE_DEPRECATED_BUILTIN_CODE);
    int64_t number = fb_number(buffer, code, OPERATOR_CODE_BUILTIN_CODE);
    if (old > number) number = old;
    if (number < 0 || number >= (int64_t)(sizeof OPERATORS / sizeof *OPERATORS) || !OPERATORS[number].name) return NULL;
    return &OPERATORS[number];
}

static tipsc_code check_codes(const tflite_model *model) {
    for (size_t i = 0; i < model->codes.count; i++)
        if (!kind_of(&model->buffer, fb_row_at(&model->buffer, &model->codes, i)))
            return tflite_refused(model, "an operator that engines do not have");
    return TIPSC_OK;
}

/* All options by name, zeros where there are none. */
static tipsc_code read_options(const tflite_model *model, const tflite_operator *kind, fb_row row, int64_t *options,
                               operation *operation) {
    enum { ONE = 0x3f800000 }; /* as a float */
    const flatbuffer *buffer = &model->buffer;
    fb_row found = fb_inner(buffer, row, OPERATOR_BUILTIN_OPTIONS);
    memset(options, 0, OPTION_COUNT * sizeof *options);
    operation->options = options;
    operation->buffer = buffer;
    if (found.at ? found.table != kind->options : kind->flags & NEEDS_OPTIONS)
        return refused_in(model, kind, "options of another operator, or none");
    const fb_table *table = &TABLES[found.table];
    for (unsigned i = 0; found.at && i < table->count; i++) {
        if (table->slots[i].kind == SLOT_NUMBER) options[table->slots[i].name] = fb_number(buffer, found, i);
        if (table->slots[i].kind == SLOT_NUMBERS) operation->list = fb_several(buffer, found, i);
    }
    int64_t fused = options[OPTION_FUSED_ACTIVATION_FUNCTION], padding = options[OPTION_PADDING];
    if (fused < 0 || fused > FUSED) return refused_in(model, kind, "not an activation");
    if (padding < 0 || padding > PADDINGS) return refused_in(model, kind, "not a padding");
    if (kind->flags & OF_BETA_1 && options[OPTION_BETA] != ONE) return refused_in(model, kind, "not a softmax of engines");
    return TIPSC_OK;
}

/* What is computed of integers: LiteRT ends the process where scales are too far apart. */
typedef struct scales {
    double low, high;
    bool any;
} scales;

static tipsc_code add_scales(tflite_model *model, const tflite_tensor *tensor, scales *all) {
    TRY(spend_scales(model, tensor->scales.count));
    if (tensor->content) return TIPSC_OK;
    for (size_t i = 0; i < tensor->scales.count; i++) {
        double scale = fb_float_at(&model->buffer, &tensor->scales, i);
        if (!all->any || scale < all->low) all->low = scale;
        if (!all->any || scale > all->high) all->high = scale;
        all->any = true;
    }
    return TIPSC_OK;
}

static tipsc_code check_scales(const tflite_model *model, const tflite_operator *kind, const scales *all) {
    static const double most = 1 << 20, farthest = 1 << 14; /* and 1 / most is the least */
    if (!all->any) return TIPSC_OK;
    if (kind->flags & OF_NUMBERS) return refused_in(model, kind, "compares what is quantized");
    if (all->low < 1 / most || all->high > most || all->high > farthest * all->low)
        return refused_in(model, kind, "scales beyond those of numbers, or too far apart");
    return TIPSC_OK;
}

static tipsc_code read_inputs(tflite_model *model, const tflite_graph *graph, const tflite_operator *kind, const fb_vector *indices,
                              scales *all) {
    for (size_t i = 0; i < indices->count; i++) {
        int64_t index = fb_number_at(&model->buffer, indices, i);
        model->inputs[i].dtype = 0;
        if (index == -1) continue; /* left out */
        if (index < 0 || index >= (int64_t)graph->tensors.count || !graph->known[index])
            return refused_in(model, kind, "reads a tensor that nothing wrote");
        model->inputs[i] = tensor_of(model, graph, (size_t)index);
        if (model->inputs[i].sparse && kind->rule != RULE_DENSIFY) return refused_in(model, kind, "reads a sparse tensor");
        TRY(add_scales(model, &model->inputs[i], all));
    }
    return TIPSC_OK;
}

static tipsc_code write_outputs(tflite_model *model, tflite_graph *graph, const tflite_operator *kind, const fb_vector *indices,
                                given *given, scales *all) {
    for (size_t i = 0; i < indices->count; i++) {
        int64_t index = fb_number_at(&model->buffer, indices, i);
        if (index < 0 || index >= (int64_t)graph->tensors.count) return refused_in(model, kind, "there is no such tensor");
        tflite_tensor tensor = tensor_of(model, graph, (size_t)index);
        if (given->sizes.count) given->shape.axes[given->axis] = given->sizes.values[i];
        bool same = tensor.shape.rank == given->shape.rank;
        for (size_t k = 0; same && k < tensor.shape.rank; k++) same = tensor.shape.axes[k] == given->shape.axes[k];
        if (!same) return refused_in(model, kind, "gives another shape than its tensor has");
        if (graph->known[index]) return refused_in(model, kind, "writes a tensor that is known already");
        graph->known[index] = true;
        TRY(add_scales(model, &tensor, all));
    }
    return TIPSC_OK;
}

static tipsc_code check_operator(tflite_model *model, tflite_graph *graph, fb_row row) {
    const flatbuffer *buffer = &model->buffer;
    int64_t code = fb_number(buffer, row, OPERATOR_OPCODE_INDEX), options[OPTION_COUNT];
    if (code >= (int64_t)model->codes.count) return tflite_refused(model, "there is no such operator code");
    const tflite_operator *kind = kind_of(buffer, fb_row_at(buffer, &model->codes, (size_t)code));
    fb_vector inputs = fb_several(buffer, row, OPERATOR_INPUTS), outputs = fb_several(buffer, row, OPERATOR_OUTPUTS);
    operation operation = {.inputs = model->inputs, .input_count = inputs.count, .output_count = outputs.count};
    scales scales = {0};
    given given;
    TRY(spend(model, (uint64_t)1 + inputs.count + outputs.count));
    if (inputs.count < kind->fewest || inputs.count > kind->most) return refused_in(model, kind, "another number of inputs");
    TRY(read_inputs(model, graph, kind, &inputs, &scales));
    TRY(read_options(model, kind, row, options, &operation));
    const char *unfit = shapes_of(kind->rule, &operation, &given);
    if (unfit) return refused_in(model, kind, unfit);
    TRY(write_outputs(model, graph, kind, &outputs, &given, &scales));
    return check_scales(model, kind, &scales);
}

/* ---- Subgraphs and signatures -------------------------------------------------------------------- */

static tipsc_code check_known(tflite_model *model, tflite_graph *graph) {
    const flatbuffer *buffer = &model->buffer;
    int64_t count = graph->tensors.count;
    for (size_t i = 0; i < graph->tensors.count; i++) TRY(check_tensor(model, graph, i));
    fb_vector inputs = fb_several(buffer, graph->row, SUB_GRAPH_INPUTS), outputs = fb_several(buffer, graph->row, SUB_GRAPH_OUTPUTS);
    fb_vector operators = fb_several(buffer, graph->row, SUB_GRAPH_OPERATORS);
    TRY(spend(model, (uint64_t)inputs.count + outputs.count));
    for (size_t i = 0; i < inputs.count; i++) {
        int64_t index = fb_number_at(buffer, &inputs, i);
        if (index < 0 || index >= count || graph->known[index])
            return tflite_refused(model, "an input that is not there, or known already");
        graph->known[index] = true;
    }
    for (model->operator = 0; model->operator < operators.count; model->operator++)
        TRY(check_operator(model, graph, fb_row_at(buffer, &operators, model->operator)));
    for (size_t i = 0; i < outputs.count; i++) {
        int64_t index = fb_number_at(buffer, &outputs, i);
        if (index < 0 || index >= count || !graph->known[index] || tensor_of(model, graph, (size_t)index).content)
            return tflite_refused(model, "an output that nothing writes");
    }
    return TIPSC_OK;
}

static tipsc_code check_graphs(tflite_model *model) {
    for (model->graph = 0; model->graph < model->graphs.count; model->graph++) {
        tflite_graph graph = {.row = fb_row_at(&model->buffer, &model->graphs, model->graph)};
        graph.tensors = fb_several(&model->buffer, graph.row, SUB_GRAPH_TENSORS);
        TRY(spend(model, (uint64_t)1 + graph.tensors.count));
        graph.known = calloc((size_t)graph.tensors.count + 1, 1);
        if (!graph.known) return no_memory(model->error);
        tipsc_code code = check_known(model, &graph);
        free(graph.known);
        TRY(code);
    }
    return TIPSC_OK;
}

/* A tensor is what the manifest says; inputs have their channels last, and an int64 in half the size. */
static bool is_spec(const tflite_tensor *tensor, const tensor_spec *spec, bool input, int64_t batch) {
    const char *letter = input ? memchr(spec->layout, 'C', spec->rank) : NULL;
    size_t channels = letter ? (size_t)(letter - spec->layout) : spec->rank;
    int dtype = input && spec->dtype == TIPSC_INT64 ? TIPSC_INT32 : spec->dtype;
    if (tensor->dtype != dtype || tensor->shape.rank != spec->rank) return false;
    for (size_t i = 0; i < spec->rank; i++) {
        size_t axis = i < channels ? i : i + 1 < spec->rank ? i + 1 : channels;
        if (tensor->shape.axes[i] != length_for(spec, axis, batch)) return false;
    }
    return true;
}

static tipsc_code check_part(const tflite_model *model, const tflite_graph *graph, fb_row signature, bool input,
                             const tensor_spec *specs, size_t count, int64_t batch) {
    const flatbuffer *buffer = &model->buffer;
    fb_vector named = fb_several(buffer, signature, input ? SIGNATURE_DEF_INPUTS : SIGNATURE_DEF_OUTPUTS);
    fb_vector indices = fb_several(buffer, graph->row, input ? SUB_GRAPH_INPUTS : SUB_GRAPH_OUTPUTS);
    if (named.count != indices.count || named.count != count)
        return tflite_refused(model, "a signature has another number of inputs or outputs");
    for (size_t i = 0; i < count; i++) {
        int64_t index = fb_number_at(buffer, &indices, i);
        if (fb_number(buffer, fb_row_at(buffer, &named, i), TENSOR_MAP_TENSOR_INDEX) != index)
            return tflite_refused(model, "a signature has other inputs or outputs than its subgraph");
        tflite_tensor tensor = tensor_of(model, graph, (size_t)index);
        if (!is_spec(&tensor, &specs[i], input, batch))
            return tflite_refused(model, "the manifest says otherwise of an input or output");
    }
    return TIPSC_OK;
}

static tipsc_code check_signature(const tflite_model *model, const manifest *manifest, fb_row signature, int64_t batch) {
    int64_t number = fb_number(&model->buffer, signature, SIGNATURE_DEF_SUBGRAPH_INDEX);
    if (number >= (int64_t)model->graphs.count) return tflite_refused(model, "a signature of no subgraph");
    tflite_graph graph = {.row = fb_row_at(&model->buffer, &model->graphs, (size_t)number)};
    graph.tensors = fb_several(&model->buffer, graph.row, SUB_GRAPH_TENSORS);
    TRY(check_part(model, &graph, signature, true, manifest->inputs, manifest->input_count, batch));
    return check_part(model, &graph, signature, false, manifest->outputs, manifest->output_count, batch);
}

/* Signatures have different names, and each path has one. */
static tipsc_code check_signatures(tflite_model *model, const manifest *manifest, fb_row root, arena *arena) {
    const flatbuffer *buffer = &model->buffer;
    fb_vector signatures = fb_several(buffer, root, MODEL_SIGNATURE_DEFS);
    map paths, found;
    if (!map_make(&paths, arena, manifest->path_count) || !map_make(&found, arena, signatures.count))
        return no_memory(model->error);
    for (size_t i = 0; i < manifest->path_count; i++) {
        map_entry *path = map_at(&paths, manifest->paths[i].id.text, manifest->paths[i].id.length);
        if (!path) return no_memory(model->error);
        path->value = &manifest->paths[i];
    }
    size_t of_paths = 0;
    for (size_t i = 0; i < signatures.count; i++) {
        fb_row signature = fb_row_at(buffer, &signatures, i);
        text key = fb_text(buffer, signature, SIGNATURE_DEF_SIGNATURE_KEY);
        map_entry *path = map_find(&paths, key.text, key.length);
        if (!map_at(&found, key.text, key.length)) return no_memory(model->error);
        if (found.count != i + 1) return tflite_refused(model, "a signature that is repeated");
        TRY(check_signature(model, manifest, signature, path ? ((path_entry *)path->value)->batch : 1));
        of_paths += path != NULL;
    }
    return of_paths == manifest->path_count ? TIPSC_OK : tflite_refused(model, "a path has no signature");
}

static tipsc_code check_model(tflite_model *model, const manifest *manifest, arena *arena) {
    const flatbuffer *buffer = &model->buffer;
    TRY(fb_check(buffer, TABLE_MODEL, "TFL3", model->where, model->error));
    fb_row root = fb_root(buffer, TABLE_MODEL);
    if (fb_number(buffer, root, MODEL_VERSION) != MODEL_OF_VERSION) return tflite_refused(model, "another version of .tflite");
    model->buffers = fb_several(buffer, root, MODEL_BUFFERS);
    model->codes = fb_several(buffer, root, MODEL_OPERATOR_CODES);
    model->graphs = fb_several(buffer, root, MODEL_SUBGRAPHS);
    model->inputs = arena_take(arena, MOST_INPUTS, sizeof *model->inputs);
    if (!model->inputs) return no_memory(model->error);
    TRY(check_buffers(model));
    TRY(check_codes(model));
    TRY(check_graphs(model));
    return check_signatures(model, manifest, root, arena);
}

tipsc_code check_tflite(const uint8_t *data, uint64_t size, const manifest *manifest, const char *where,
                        tipsc_error *error) {
    tflite_model model = {.buffer = {data, size, &SCHEMA}, .where = where, .error = error};
    arena arena = {NULL};
    tipsc_code code = check_model(&model, manifest, &arena);
    arena_free(&arena);
    return code;
}
