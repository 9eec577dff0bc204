/* The twin in C of records.py and record_state.py, which are the definition: the type RecordState, and the loops of
 * records.h over it.
 *
 * A state keeps its keys itself, and nobody else has them: they are overwritten at each step, and when it is freed. So the
 * loops work on the state in its place. The GIL is kept: a batch takes less than two milliseconds.
 */

#include "module.h"

#include "records.h"

/* record_state.STREAM_BATCH */
enum { STREAM_BATCH = 32768 };

enum { PAD_TO_MAX = 32768 };

typedef struct {
    PyObject_HEAD
    record_state record;
    PyObject *rest; /* bytes */
} record_object;

/* --- RecordState */

static PyObject *record_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"chain", "suite", "limit", "dialect", "pad_to", "batch", NULL};
    const module_state *module = PyType_GetModuleState(type);
    const char *chain;
    Py_ssize_t chain_size;
    uint64_t suite, pad_to = 0;
    record_state record = {.dialect = V3, .batch = STREAM_BATCH};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "y#O&O&|O&O&O&", names, &chain, &chain_size, codec_as_64,
                                     &suite, codec_as_64, &record.limit, codec_as_dialect, &record.dialect,
                                     codec_as_64, &pad_to, codec_as_batch, &record.batch))
        return NULL;
    if (chain_size != KEY_SIZE || pad_to > PAD_TO_MAX) {
        PyErr_SetString(PyExc_ValueError, "a chain has 32 octets, and a record is padded to 32768 at most");
        return NULL;
    }
    const codec_crypto *crypto = &module->crypto;
    const int has_aegis = crypto->open_aegis != NULL && crypto->seal_aegis != NULL;
    if (crypto->hash == NULL || (suite != XSALSA20_POLY1305 && (suite != AEGIS_256 || !has_aegis))) {
        PyErr_SetString(PyExc_ValueError, "a suite is 1, or 2 where libsodium has it");
        return NULL;
    }
    PyObject *rest = PyBytes_FromStringAndSize(NULL, 0);
    if (rest == NULL)
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    record_object *self = (record_object *)allocate(type, 0);
    if (self == NULL) {
        Py_DECREF(rest);
        return NULL;
    }
    self->rest = rest;
    self->record = record;
    self->record.suite = (uint8_t)suite;
    self->record.pad_to = (uint16_t)pad_to;
    memcpy(self->record.chain, chain, KEY_SIZE);
    record_step(&self->record, crypto);
    return (PyObject *)self;
}

static void record_dealloc(PyObject *object) {
    record_object *self = (record_object *)object;
    wipe(self->record.key, KEY_SIZE);
    wipe(self->record.chain, KEY_SIZE);
    Py_XDECREF(self->rest);
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *get_suite(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromLong(((record_object *)self)->record.suite);
}

static PyObject *get_tag(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromSize_t(tag_size(&((record_object *)self)->record));
}

static PyObject *get_pad_to(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromLong(((record_object *)self)->record.pad_to);
}

static PyObject *get_command(PyObject *self, void *unused) {
    (void)unused;
    const record_state *record = &((record_object *)self)->record;
    return Py_BuildValue("(KK)", (unsigned long long)record->command_at, (unsigned long long)record->command_size);
}

static PyObject *get_rest(PyObject *self, void *unused) {
    (void)unused;
    return Py_NewRef(((record_object *)self)->rest);
}

#define MEMBER(name) NUMBER(record_object, record.name)

static PyGetSetDef record_members[] = {
    {"suite", get_suite, NULL, NULL, NULL},
    {"tag", get_tag, NULL, NULL, NULL},
    {"limit", codec_get_64, codec_set_64, NULL, MEMBER(limit)},
    {"dialect", codec_get_dialect, NULL, NULL, MEMBER(dialect)},
    {"pad_to", get_pad_to, NULL, NULL, NULL},
    {"batch", codec_get_32, codec_set_32, NULL, MEMBER(batch)},
    {"counter", codec_get_64, NULL, NULL, MEMBER(counter)},
    {"since_step", codec_get_32, codec_set_32, NULL, MEMBER(since_step)},
    {"held", codec_get_64, NULL, NULL, MEMBER(held)},
    {"body_left", codec_get_64, NULL, NULL, MEMBER(body_left)},
    {"more", codec_get_flag, NULL, NULL, MEMBER(more)},
    {"command", get_command, NULL, NULL, NULL},
    {"rest", get_rest, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot record_slots[] = {
    {Py_tp_doc, "One direction of a session with records: see record_state.RecordState."},
    {Py_tp_new, record_new},
    {Py_tp_dealloc, record_dealloc},
    {Py_tp_getset, record_members},
    {0, NULL},
};

PyType_Spec codec_record_spec = {
    .name = "curveproxy.wire.codec._codec.RecordState",
    .basicsize = sizeof(record_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = record_slots,
};

/* --- the functions */

/* What is left of the plain stream, for the next call. 0 where there is no memory for it. */
static int keep_rest(record_object *state, const record_batch *b) {
    if (!b->has_new_rest)
        return 1;
    const char *octets = (const char *)b->target + b->rest_at;
    PyObject *rest = PyBytes_FromStringAndSize(octets, (Py_ssize_t)(b->rest_end - b->rest_at)), *old = state->rest;
    if (rest == NULL)
        return 0;
    state->rest = rest;
    Py_DECREF(old);
    return 1;
}

static PyObject *result_of(const module_state *module, const record_batch *b, codec_stop stop) {
    return codec_new_batch(module, b->start, b->at, b->messages, b->octets, stop);
}

static record_batch batch_of(const module_state *module, const codec_call *call) {
    return (record_batch){
        .crypto = &module->crypto,
        .source = call->source.buf,
        .target = call->target.buf,
        .start = call->start,
        .end = call->end,
        .at = call->at,
        .capacity = (size_t)call->target.len,
    };
}

PyObject *codec_open_records(PyObject *self, PyObject *const *arguments, Py_ssize_t given) {
    const module_state *module = PyModule_GetState(self);
    codec_call call;
    if (codec_begin(module, module->record_type, arguments, given, &call) < 0)
        return NULL;
    record_object *state = (record_object *)arguments[0];
    record_batch b = batch_of(module, &call);
    b.rest = (const uint8_t *)PyBytes_AsString(state->rest);
    b.rest_size = (size_t)PyBytes_Size(state->rest);
    codec_stop stop = records_open(&state->record, &b);
    int kept = keep_rest(state, &b);
    codec_end(&call);
    return kept ? result_of(module, &b, stop) : NULL;
}

PyObject *codec_seal_records(PyObject *self, PyObject *const *arguments, Py_ssize_t given) {
    const module_state *module = PyModule_GetState(self);
    codec_call call;
    if (codec_begin(module, module->record_type, arguments, given, &call) < 0)
        return NULL;
    record_batch b = batch_of(module, &call);
    codec_stop stop = records_seal(&((record_object *)arguments[0])->record, &b);
    codec_end(&call);
    return result_of(module, &b, stop);
}

PyObject *codec_seal_octets(PyObject *self, PyObject *const *arguments, Py_ssize_t given) {
    const module_state *module = PyModule_GetState(self);
    codec_call call;
    if (codec_begin(module, module->record_type, arguments, given, &call) < 0)
        return NULL;
    record_state *record = &((record_object *)arguments[0])->record;
    if (record->body_left) {
        codec_end(&call);
        PyErr_SetString(PyExc_ValueError, "nothing can be put into a frame");
        return NULL;
    }
    record_batch b = batch_of(module, &call);
    codec_stop stop = records_seal_octets(record, &b);
    codec_end(&call);
    return result_of(module, &b, stop);
}
