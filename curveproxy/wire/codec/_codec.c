/* The twin in C of python.py, which is the definition: the type CodecState, and the loops of core.h over it.
 *
 * A state keeps its key itself and overwrites it when it is freed. The functions of libsodium, and the classes of what is
 * returned, are handed to setup(). The GIL is released where a call takes long enough for others to gain by it.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "core.h"

/* state.BATCH_FRAMES */
enum { BATCH_FRAMES = 4096 };

/* A call over fewer octets than these takes some microseconds, and keeps the GIL. */
enum { RELEASES_GIL_FROM = 8192 };

typedef struct {
    PyTypeObject *state_type;
    PyObject *batch_type, *stops, *dialects; /* NULL before setup() */
    PyObject *data;                          /* the name of a Buffer's memory */
    codec_box *open, *seal;
    newfunc new_tuple;
} module_state;

/* --- CodecState */

typedef struct {
    PyObject_HEAD
    uint8_t key[KEY_SIZE];
    codec_state codec;
    uint64_t left_out_nonce, left_out_frames;
} state_object;

/* A converter for PyArg_Parse: an integer of 64 bits without sign. */
static int as_64(PyObject *value, void *to) {
    unsigned long long converted = PyLong_AsUnsignedLongLong(value);
    if (converted == (unsigned long long)-1 && PyErr_Occurred())
        return 0;
    *(uint64_t *)to = converted;
    return 1;
}

static int as_batch(PyObject *value, void *to) {
    uint64_t batch;
    if (!as_64(value, &batch))
        return 0;
    if (batch > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a batch has less than 2**32 frames");
        return 0;
    }
    *(uint32_t *)to = (uint32_t)batch;
    return 1;
}

static int as_dialect(PyObject *value, void *to) {
    uint64_t dialect;
    if (!as_64(value, &dialect))
        return 0;
    if (dialect < V1 || dialect > V3) {
        PyErr_SetString(PyExc_ValueError, "a dialect is 1, 2 or 3");
        return 0;
    }
    *(uint8_t *)to = (uint8_t)dialect;
    return 1;
}

static PyObject *state_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"key",  "prefix",     "nonce",   "limit", "dialect",  "little_endian",
                            "held", "discarding", "command", "batch", "left_out", NULL};
    const char *key, *prefix;
    Py_ssize_t key_size, prefix_size;
    int little_endian = 0, discarding = 0;
    uint64_t command_at = 0, command_size = 0, left_out_nonce = 0, left_out_frames = 0;
    codec_state codec = {.dialect = V3, .batch = BATCH_FRAMES};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "y#y#O&O&|O&pO&p(O&O&)O&(O&O&)", names, &key, &key_size,
                                     &prefix, &prefix_size, as_64, &codec.nonce, as_64, &codec.limit, as_dialect,
                                     &codec.dialect, &little_endian, as_64, &codec.held, &discarding, as_64,
                                     &command_at, as_64, &command_size, as_batch, &codec.batch, as_64,
                                     &left_out_nonce, as_64, &left_out_frames))
        return NULL;
    if (key_size != KEY_SIZE || prefix_size != NONCE_PREFIX) {
        PyErr_SetString(PyExc_ValueError, "a key has 32 octets, the prefix of a nonce 16");
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    state_object *self = (state_object *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    codec.little_endian = (uint8_t)little_endian;
    codec.discarding = (uint8_t)discarding;
    codec.command_at = (size_t)command_at;
    codec.command_size = (size_t)command_size;
    memcpy(codec.prefix, prefix, NONCE_PREFIX);
    memcpy(self->key, key, KEY_SIZE);
    self->codec = codec;
    self->left_out_nonce = left_out_nonce;
    self->left_out_frames = left_out_frames;
    return (PyObject *)self;
}

static void state_dealloc(PyObject *self) {
    volatile uint8_t *key = ((state_object *)self)->key; /* volatile: else a compiler leaves it out */
    for (int i = 0; i < KEY_SIZE; i++)
        key[i] = 0;
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* The members that hold a number: where it is. */
#define NUMBER(member) (void *)offsetof(state_object, member)

static void *at_offset(PyObject *self, void *offset) {
    return (char *)self + (size_t)offset;
}

static int is_deleted(PyObject *value) {
    if (value == NULL)
        PyErr_SetString(PyExc_AttributeError, "a state keeps all its members");
    return value == NULL;
}

static PyObject *get_64(PyObject *self, void *offset) {
    return PyLong_FromUnsignedLongLong(*(uint64_t *)at_offset(self, offset));
}

static int set_64(PyObject *self, PyObject *value, void *offset) {
    return !is_deleted(value) && as_64(value, at_offset(self, offset)) ? 0 : -1;
}

static PyObject *get_flag(PyObject *self, void *offset) {
    return PyBool_FromLong(*(uint8_t *)at_offset(self, offset));
}

static int set_flag(PyObject *self, PyObject *value, void *offset) {
    int flag = is_deleted(value) ? -1 : PyObject_IsTrue(value);
    if (flag < 0)
        return -1;
    *(uint8_t *)at_offset(self, offset) = (uint8_t)flag;
    return 0;
}

static PyObject *get_key(PyObject *self, void *unused) {
    (void)unused;
    return PyBytes_FromStringAndSize((const char *)((state_object *)self)->key, KEY_SIZE);
}

static PyObject *get_prefix(PyObject *self, void *unused) {
    (void)unused;
    return PyBytes_FromStringAndSize((const char *)((state_object *)self)->codec.prefix, NONCE_PREFIX);
}

static PyObject *get_batch(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(((state_object *)self)->codec.batch);
}

static int set_batch(PyObject *self, PyObject *value, void *unused) {
    (void)unused;
    return !is_deleted(value) && as_batch(value, &((state_object *)self)->codec.batch) ? 0 : -1;
}

static PyObject *get_dialect(PyObject *self, void *unused) {
    (void)unused;
    module_state *module = PyType_GetModuleState(Py_TYPE(self));
    if (module == NULL || module->dialects == NULL)
        return PyErr_Occurred() ? NULL : PyLong_FromLong(((state_object *)self)->codec.dialect);
    PyObject *dialect = PyTuple_GetItem(module->dialects, ((state_object *)self)->codec.dialect - V1);
    Py_XINCREF(dialect);
    return dialect;
}

static int set_dialect(PyObject *self, PyObject *value, void *unused) {
    (void)unused;
    return !is_deleted(value) && as_dialect(value, &((state_object *)self)->codec.dialect) ? 0 : -1;
}

static PyObject *get_command(PyObject *self, void *unused) {
    (void)unused;
    const codec_state *codec = &((state_object *)self)->codec;
    return Py_BuildValue("(KK)", (unsigned long long)codec->command_at, (unsigned long long)codec->command_size);
}

static PyObject *get_left_out(PyObject *self, void *unused) {
    (void)unused;
    const state_object *state = (const state_object *)self;
    return Py_BuildValue("(KK)", (unsigned long long)state->left_out_nonce,
                         (unsigned long long)state->left_out_frames);
}

static int set_left_out(PyObject *self, PyObject *value, void *unused) {
    (void)unused;
    state_object *state = (state_object *)self;
    uint64_t nonce, frames;
    if (is_deleted(value))
        return -1;
    if (!PyTuple_Check(value) || PyTuple_Size(value) != 2) {
        PyErr_SetString(PyExc_TypeError, "left_out is a nonce and a number of frames");
        return -1;
    }
    if (!as_64(PyTuple_GetItem(value, 0), &nonce) || !as_64(PyTuple_GetItem(value, 1), &frames))
        return -1;
    state->left_out_nonce = nonce;
    state->left_out_frames = frames;
    return 0;
}

static PyGetSetDef state_members[] = {
    {"key", get_key, NULL, NULL, NULL},
    {"prefix", get_prefix, NULL, NULL, NULL},
    {"nonce", get_64, set_64, NULL, NUMBER(codec.nonce)},
    {"limit", get_64, set_64, NULL, NUMBER(codec.limit)},
    {"dialect", get_dialect, set_dialect, NULL, NULL},
    {"little_endian", get_flag, set_flag, NULL, NUMBER(codec.little_endian)},
    {"held", get_64, set_64, NULL, NUMBER(codec.held)},
    {"discarding", get_flag, set_flag, NULL, NUMBER(codec.discarding)},
    {"command", get_command, NULL, NULL, NULL},
    {"batch", get_batch, set_batch, NULL, NULL},
    {"left_out", get_left_out, set_left_out, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* All its members but the key, as attrs writes them. */
static PyObject *state_repr(PyObject *self) {
    PyObject *text = PyUnicode_FromString("CodecState(");
    for (const PyGetSetDef *member = state_members + 1; text != NULL && member->name != NULL; member++) {
        PyObject *value = member->get(self, member->closure), *longer = NULL;
        if (value != NULL)
            longer = PyUnicode_FromFormat("%U%s=%R%s", text, member->name, value, member[1].name ? ", " : ")");
        Py_XDECREF(value);
        Py_DECREF(text);
        text = longer;
    }
    return text;
}

static PyType_Slot state_slots[] = {
    {Py_tp_doc, "One direction of a session: see state.CodecState."},
    {Py_tp_new, state_new},
    {Py_tp_dealloc, state_dealloc},
    {Py_tp_repr, state_repr},
    {Py_tp_getset, state_members},
    {0, NULL},
};

static PyType_Spec state_spec = {
    .name = "curveproxy.wire.codec._codec.CodecState",
    .basicsize = sizeof(state_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = state_slots,
};

/* --- the two functions */

/* The memory of a Buffer, to be released by PyBuffer_Release. */
static int get_memory(const module_state *module, PyObject *buffer, Py_buffer *memory) {
    PyObject *data = PyObject_GetAttr(buffer, module->data);
    if (data == NULL)
        return -1;
    int result = PyObject_GetBuffer(data, memory, PyBUF_WRITABLE);
    Py_DECREF(data); /* memory keeps it */
    return result;
}

/* A state.Batch, as tuple.__new__(Batch, fields) makes one. */
static PyObject *new_batch(const module_state *module, const codec_batch *b, codec_stop stop) {
    PyObject *fields = PyTuple_New(5), *arguments = NULL, *result = NULL;
    if (fields == NULL)
        return NULL;
    PyObject *values[5] = {
        PyLong_FromSize_t(b->start),
        PyLong_FromSize_t(b->at),
        PyLong_FromUnsignedLongLong(b->messages),
        PyLong_FromUnsignedLongLong(b->octets),
        PyTuple_GetItem(module->stops, stop),
    };
    Py_XINCREF(values[4]);
    int complete = 1;
    for (int i = 0; i < 5; i++) {
        complete &= values[i] != NULL;
        PyTuple_SetItem(fields, i, values[i]);
    }
    if (complete)
        arguments = PyTuple_Pack(1, fields);
    Py_DECREF(fields);
    if (arguments != NULL) {
        result = module->new_tuple((PyTypeObject *)module->batch_type, arguments, NULL);
        Py_DECREF(arguments);
    }
    return result;
}

typedef codec_stop codec_loop(codec_state *, codec_batch *);

/* (state, source, start, end, target, at) -> Batch */
static PyObject *run(const module_state *module, PyObject *const *arguments, Py_ssize_t given, codec_loop *loop,
                     codec_box *box) {
    if (module->batch_type == NULL || given != 6 || !Py_IS_TYPE(arguments[0], module->state_type)) {
        PyErr_SetString(PyExc_TypeError, "six arguments, of which a CodecState of this module is the first");
        return NULL;
    }
    state_object *state = (state_object *)arguments[0];
    Py_ssize_t start = PyLong_AsSsize_t(arguments[2]), end = PyLong_AsSsize_t(arguments[3]),
               at = PyLong_AsSsize_t(arguments[5]);
    if ((start == -1 || end == -1 || at == -1) && PyErr_Occurred())
        return NULL;
    Py_buffer source, target;
    if (get_memory(module, arguments[1], &source) < 0)
        return NULL;
    if (get_memory(module, arguments[4], &target) < 0) {
        PyBuffer_Release(&source);
        return NULL;
    }
    PyObject *result = NULL;
    if (start < 0 || start > end || end > source.len || at < 0 || at > target.len) {
        PyErr_SetString(PyExc_ValueError, "places within the buffers");
    } else {
        codec_batch b = {
            .box = box,
            .key = state->key,
            .source = source.buf,
            .target = target.buf,
            .start = (size_t)start,
            .end = (size_t)end,
            .at = (size_t)at,
            .capacity = (size_t)target.len,
        };
        codec_stop stop;
        if (end - start < RELEASES_GIL_FROM) {
            stop = loop(&state->codec, &b);
        } else {
            codec_state codec = state->codec; /* others may read the state meanwhile */
            Py_BEGIN_ALLOW_THREADS
            stop = loop(&codec, &b);
            Py_END_ALLOW_THREADS
            state->codec = codec;
        }
        result = new_batch(module, &b, stop);
    }
    PyBuffer_Release(&target);
    PyBuffer_Release(&source);
    return result;
}

static PyObject *open_frames(PyObject *self, PyObject *const *arguments, Py_ssize_t given) {
    const module_state *module = PyModule_GetState(self);
    return run(module, arguments, given, codec_open, module->open);
}

static PyObject *seal_frames(PyObject *self, PyObject *const *arguments, Py_ssize_t given) {
    const module_state *module = PyModule_GetState(self);
    return run(module, arguments, given, codec_seal, module->seal);
}

/* setup(open, seal, Batch, stops, dialects): the addresses of crypto_box_open_easy_afternm and crypto_box_easy_afternm,
 * and the classes of state.py, those of an enumeration as a tuple of their members. */
static PyObject *setup(PyObject *self, PyObject *arguments) {
    module_state *module = PyModule_GetState(self);
    PyObject *addresses[2], *batch, *stops, *dialects;
    if (!PyArg_ParseTuple(arguments, "OOOO!O!", &addresses[0], &addresses[1], &batch, &PyTuple_Type, &stops,
                          &PyTuple_Type, &dialects))
        return NULL;
    void *functions[2];
    for (int i = 0; i < 2; i++) {
        functions[i] = PyLong_AsVoidPtr(addresses[i]);
        if (functions[i] == NULL) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "an address is not 0");
            return NULL;
        }
    }
    if (!PyType_Check(batch) || !PyType_IsSubtype((PyTypeObject *)batch, &PyTuple_Type) ||
        PyTuple_Size(stops) != STOPS || PyTuple_Size(dialects) != V3) {
        PyErr_SetString(PyExc_ValueError, "a class of tuples, the stops, and the dialects of this version");
        return NULL;
    }
    memcpy(&module->open, &functions[0], sizeof module->open);
    memcpy(&module->seal, &functions[1], sizeof module->seal);
    module->new_tuple = (newfunc)PyType_GetSlot(&PyTuple_Type, Py_tp_new);
    PyObject *old[] = {module->batch_type, module->stops, module->dialects};
    module->batch_type = Py_NewRef(batch);
    module->stops = Py_NewRef(stops);
    module->dialects = Py_NewRef(dialects);
    for (int i = 0; i < 3; i++)
        Py_XDECREF(old[i]);
    Py_RETURN_NONE;
}

/* --- the module */

static PyMethodDef module_methods[] = {
    {"setup", setup, METH_VARARGS, NULL},
    {"open_frames", (PyCFunction)(void (*)(void))open_frames, METH_FASTCALL, NULL},
    {"seal_frames", (PyCFunction)(void (*)(void))seal_frames, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static int module_exec(PyObject *self) {
    module_state *module = PyModule_GetState(self);
    module->data = PyUnicode_InternFromString("data");
    module->state_type = (PyTypeObject *)PyType_FromModuleAndSpec(self, &state_spec, NULL);
    if (module->data == NULL || module->state_type == NULL)
        return -1;
    return PyModule_AddType(self, module->state_type);
}

static int module_traverse(PyObject *self, visitproc visit, void *arg) {
    const module_state *module = PyModule_GetState(self);
    Py_VISIT(module->state_type);
    Py_VISIT(module->batch_type);
    Py_VISIT(module->stops);
    Py_VISIT(module->dialects);
    return 0;
}

static int module_clear(PyObject *self) {
    module_state *module = PyModule_GetState(self);
    Py_CLEAR(module->state_type);
    Py_CLEAR(module->batch_type);
    Py_CLEAR(module->stops);
    Py_CLEAR(module->dialects);
    Py_CLEAR(module->data);
    return 0;
}

static void module_free(void *self) {
    module_clear(self);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_codec",
    .m_size = sizeof(module_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__codec(void) {
    return PyModuleDef_Init(&module_definition);
}
