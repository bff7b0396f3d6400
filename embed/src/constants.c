#include "constants.h"

#include <string.h>

#include "map.h"

enum { MOST_VALUES = 1 << 24, GROWTH = 16, MOST_AXES = 32, MOST_CONTENT = 64, OF_A_SHAPE = 32 };
#define LONGEST_AXIS (UINT64_C(1) << 40)
#define AGAIN "nodes are not in the order in which they are computed"

/* A value of the graph; numbers of values that do not fit are UINT64_MAX. */
typedef struct fact {
    bool constant;
    uint64_t values;
    bool has_shape, has_content;
    size_t rank, count;
    uint64_t *shape; /* `rank` */
    int64_t *content; /* `count` */
} fact;

/* Where a fact's shape and content lie until it is known that they are short. */
typedef struct scratch {
    uint64_t shape[MOST_AXES];
    int64_t content[MOST_CONTENT];
} scratch;

typedef struct run {
    arena *arena;
    map facts; /* of what is known by now; NULL: computed, and no constant */
    uint64_t made, most;
    const char **wrong;
} run;

static bool refuse(run *run, const char *what) {
    if (!*run->wrong) *run->wrong = what;
    return false;
}

static uint64_t times(uint64_t a, uint64_t b) { return b && a > UINT64_MAX / b ? UINT64_MAX : a * b; }
static uint64_t plus(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

static uint64_t product(const uint64_t *shape, size_t rank) {
    uint64_t values = 1;
    for (size_t i = 0; i < rank; i++)
        if (!shape[i]) return 0;
    for (size_t i = 0; i < rank; i++) values = times(values, shape[i]);
    return values;
}

/* Adds the numbers of a field, packed or not, to `into` while they fit; the count of all. */
static size_t numbers(const field *field, uint64_t *into, size_t most, size_t count) {
    bytes rest = field->content;
    uint64_t value = field->value;
    bool shortest;
    if (field->wire == WIRE_VARINT) {
        if (count < most) into[count] = value;
        return count + 1;
    }
    for (; next_varint(&rest, &value, &shortest); count++)
        if (count < most) into[count] = value;
    return count;
}

static int64_t little_endian(const uint8_t *at) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value |= (uint64_t)at[i] << 8 * i;
    return (int64_t)value;
}

/* A copy of a fact that lasts. */
static fact *kept(run *run, const fact *found) {
    fact *copy = arena_take(run->arena, 1, sizeof *copy);
    if (!copy) return NULL;
    *copy = *found;
    if (found->has_shape) {
        copy->shape = arena_take(run->arena, found->rank, sizeof *copy->shape);
        if (!copy->shape) return NULL;
        memcpy(copy->shape, found->shape, found->rank * sizeof *copy->shape);
    }
    if (found->has_content) {
        copy->content = arena_take(run->arena, found->count, sizeof *copy->content);
        if (!copy->content) return NULL;
        memcpy(copy->content, found->content, found->count * sizeof *copy->content);
    }
    return copy;
}

/* What a TensorProto says: its shape, and the values of a short one of int64 that lies in the graph. */
static bool tensor(run *run, bytes content, bytes *name, fact *fact) {
    uint64_t given[MOST_CONTENT];
    size_t listed = 0;
    uint64_t element = 0;
    bytes raw = {NULL, 0};
    bool has_raw = false;
    field field;
    *name = (bytes){NULL, 0};
    fact->rank = 0;
    while (next_field(&content, &field) > 0) switch (field.number) {
            case 1: fact->rank = numbers(&field, fact->shape, MOST_AXES, fact->rank); break;
            case 2: element = field.value; break;
            case 7: listed = numbers(&field, given, MOST_CONTENT, listed); break;
            case 8: *name = field.content; break;
            case 9: raw = field.content, has_raw = true; break;
            default: break;
        }
    if (fact->rank > MOST_AXES) return refuse(run, "a constant has an absurd shape");
    for (size_t i = 0; i < fact->rank; i++)
        if (fact->shape[i] > LONGEST_AXIS) return refuse(run, "a constant has an absurd shape");
    fact->constant = fact->has_shape = true;
    fact->values = product(fact->shape, fact->rank);
    fact->has_content = false;
    if (element != 7 || fact->values > MOST_CONTENT) return true;
    fact->count = (size_t)fact->values;
    if (has_raw) {
        fact->has_content = raw.length == 8 * fact->count;
        for (size_t i = 0; fact->has_content && i < fact->count; i++) fact->content[i] = little_endian(raw.data + 8 * i);
    } else {
        fact->has_content = listed == fact->count;
        for (size_t i = 0; fact->has_content && i < fact->count; i++) fact->content[i] = (int64_t)given[i];
    }
    return true;
}

/* What a node of the operator Constant gives. */
static bool constant(run *run, bytes node, fact *fact) {
    field attribute, part;
    fact->constant = fact->has_shape = true;
    while (next_field(&node, &attribute) > 0) {
        if (attribute.number != 5) continue;
        uint64_t integers[MOST_CONTENT];
        size_t others = 0, count = 0;
        bool has_integers = false;
        bytes rest = attribute.content, name;
        while (next_field(&rest, &part) > 0) switch (part.number) {
                case 3:
                    fact->content[0] = (int64_t)part.value;
                    fact->count = 1;
                    fact->has_content = true;
                    break;
                case 5:
                    if (!tensor(run, part.content, &name, fact)) return false;
                    break;
                case 7: others += part.content.length / 4; break;
                case 8:
                    has_integers = true;
                    count = numbers(&part, integers, MOST_CONTENT, count);
                    break;
                case 9: others++; break;
                default: break;
            }
        if (!others && !has_integers) continue;
        fact->rank = 1;
        fact->shape[0] = others + count;
        fact->has_content = has_integers && count <= MOST_CONTENT;
        fact->count = count;
        for (size_t i = 0; fact->has_content && i < count; i++) fact->content[i] = (int64_t)integers[i];
    }
    fact->values = product(fact->shape, fact->rank);
    return true;
}

static uint64_t broadcast(const uint64_t *a, size_t a_rank, const uint64_t *b, size_t b_rank) {
    uint64_t shape[MOST_AXES];
    size_t rank = a_rank > b_rank ? a_rank : b_rank;
    for (size_t i = 0; i < rank; i++) {
        uint64_t first = i + a_rank < rank ? 1 : a[i + a_rank - rank];
        uint64_t second = i + b_rank < rank ? 1 : b[i + b_rank - rank];
        shape[i] = first > second ? first : second;
    }
    return product(shape, rank);
}

static uint64_t paired(const char *operator, const fact *a, const fact *b) {
    if (strcmp(operator, "MatMul") != 0) return broadcast(a->shape, a->rank, b->shape, b->rank);
    if (a->rank < 2 || b->rank < 2) return times(a->values, b->values);
    uint64_t outer = broadcast(a->shape, a->rank - 2, b->shape, b->rank - 2);
    return times(times(outer, a->shape[a->rank - 2]), b->shape[b->rank - 1]);
}

static bool among(const char *operator, const char *const *names) {
    for (; *names; names++)
        if (!strcmp(operator, *names)) return true;
    return false;
}

typedef struct node {
    char operator[32]; /* cut: no known one is as long */
    size_t inputs, given; /* listed, and with a name */
    const fact *last_given, *first_given; /* of those with a name */
    bool constant; /* all given inputs are */
    uint64_t sum, product;
} node;

static bool read_node(run *run, bytes content, node *node) {
    field field;
    *node = (struct node){.constant = true, .product = 1};
    while (next_field(&content, &field) > 0) {
        if (field.number == 4) {
            size_t length = field.content.length < sizeof node->operator- 1 ? field.content.length : sizeof node->operator- 1;
            memset(node->operator, 0, sizeof node->operator);
            memcpy(node->operator, field.content.data, length);
        }
        if (field.number != 1) continue;
        node->inputs++;
        if (!field.content.length) continue;
        map_entry *entry = map_find(&run->facts, field.content.data, field.content.length);
        if (!entry) return refuse(run, AGAIN);
        const fact *fact = entry->value;
        node->given++;
        if (node->given == 1) node->first_given = fact;
        node->last_given = fact;
        if (!fact || !fact->constant) {
            node->constant = false;
            continue;
        }
        node->sum = plus(node->sum, fact->values);
        node->product = times(node->product, fact->values);
    }
    return true;
}

static bool give(run *run, bytes content, fact *fact) {
    field field;
    while (next_field(&content, &field) > 0) {
        if (field.number != 2) continue;
        size_t before = run->facts.count;
        map_entry *entry = map_at(&run->facts, field.content.data, field.content.length);
        if (!entry) return false;
        if (field.content.length && run->facts.count == before) return refuse(run, AGAIN);
        entry->value = fact;
    }
    return true;
}

/* The number of values that a node on constants gives; false: none is known. */
static bool size_of(run *run, bytes content, const node *node, fact *fact) {
    static const char *const no_larger[] = {"Cast", "Concat", "Constant", "DequantizeLinear", "Flatten", "Identity",
                                            "Neg", "QuantizeLinear", "Reshape", "Slice", "Split", "Squeeze",
                                            "Transpose", "Unsqueeze", NULL};
    static const char *const pairs[] = {"Add", "Sub", "Mul", "Div", "MatMul", "Gather", NULL};
    static const char *const sized[] = {"ConstantOfShape", "Expand", "Tile", NULL};
    if (!strcmp(node->operator, "Constant")) return constant(run, content, fact);
    if (among(node->operator, sized)) {
        bool fills = !strcmp(node->operator, "ConstantOfShape");
        size_t expected = fills ? 1 : 2;
        const struct fact *size = node->last_given;
        if (node->given != expected || node->inputs != expected || !size->has_content)
            return refuse(run, "it computes constants of no known size");
        fact->values = fills ? 1 : node->first_given->values;
        for (size_t i = 0; i < size->count; i++)
            if (size->content[i] < 0) return refuse(run, "it computes constants of no known size");
        uint64_t shape[MOST_CONTENT] = {0};
        for (size_t i = 0; i < size->count; i++) shape[i] = (uint64_t)size->content[i];
        fact->values = times(product(shape, size->count), fact->values);
    } else if (among(node->operator, pairs)) {
        bool known = node->given == 2 && node->first_given->has_shape && node->last_given->has_shape &&
                     strcmp(node->operator, "Gather") != 0;
        fact->values = known ? paired(node->operator, node->first_given, node->last_given) : node->product;
    } else if (among(node->operator, no_larger)) {
        fact->values = node->sum;
        return true;
    } else {
        return refuse(run, "it computes an operator of constants that may take any memory");
    }
    return fact->values <= MOST_VALUES || refuse(run, "it computes constants that are too large");
}

static bool one_node(run *run, bytes content) {
    node node;
    if (!read_node(run, content, &node)) return false;
    bool shape = !strcmp(node.operator, "Shape");
    if (!shape && !node.constant) return give(run, content, NULL);
    scratch scratch;
    fact found = {.constant = true, .values = OF_A_SHAPE, .shape = scratch.shape, .content = scratch.content};
    if (!shape && !size_of(run, content, &node, &found)) return false;
    fact *fact = kept(run, &found);
    if (!fact || !give(run, content, fact)) return false;
    if (shape) return true; /* of a shape that is known, so it is computed on opening */
    run->made = plus(run->made, fact->values);
    return run->made <= run->most || refuse(run, "it computes more and more of constants");
}

static bool known_from_the_start(run *run, bytes graph) {
    field field, part;
    for (bytes rest = graph; next_field(&rest, &field) > 0;) {
        if (field.number != 5) continue;
        bytes name;
        scratch scratch;
        fact found = {.shape = scratch.shape, .content = scratch.content};
        if (!tensor(run, field.content, &name, &found)) return false;
        fact *fact = kept(run, &found);
        if (!fact) return false;
        map_entry *entry = map_at(&run->facts, name.data ? name.data : (const uint8_t *)"", name.length);
        if (!entry) return false;
        entry->value = fact;
    }
    uint64_t values = 0;
    for (const map_entry *entry = run->facts.first; entry; entry = entry->later)
        values = plus(values, ((const fact *)entry->value)->values);
    run->most = plus(MOST_VALUES, times(GROWTH, values));
    for (bytes rest = graph; next_field(&rest, &field) > 0;) {
        if (field.number != 11) continue;
        bytes name = {(const uint8_t *)"", 0}, inner = field.content;
        while (next_field(&inner, &part) > 0)
            if (part.number == 1) name = part.content;
        if (!map_at(&run->facts, name.data, name.length)) return false;
    }
    return true;
}

bool constants_are_bounded(bytes graph, const char **wrong) {
    arena arena = {NULL};
    run run = {.arena = &arena, .wrong = wrong};
    bool ok = map_make(&run.facts, &arena, 256) && known_from_the_start(&run, graph);
    field field;
    while (ok && next_field(&graph, &field) > 0)
        if (field.number == 1) ok = one_node(&run, field.content);
    arena_free(&arena);
    return ok;
}
