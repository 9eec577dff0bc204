/* The twin in C of state.py and python.py, the definition: the type CodecState, and the loops of core.h over it.
 *
 * A state keeps its direction's subkey itself, and nothing of the key, and overwrites it when it is freed. The GIL is
 * released where a call takes long enough for others to gain by it.
 */

#include "module.h"

#include "core.h"

/* state.BATCH_FRAMES */
enum { BATCH_FRAMES = 4096 };

/* A call over fewer octets than these takes some microseconds, and keeps the GIL. */
enum { RELEASES_GIL_FROM = 8192 };

/* --- CodecState */

typedef struct {
    PyObject_HEAD
    uint8_t subkey[KEY_SIZE];
    codec_state codec;
} state_object;

/* Whose MESSAGEs have nonces that begin so, by its place in PREFIXES; 2 for nobody's. */
static int sender_of(const char *prefix, Py_ssize_t size) {
    int sender = 0;
    while (sender < 2 && (size != NONCE_PREFIX || memcmp(prefix, PREFIXES[sender], NONCE_PREFIX)))
        sender++;
    return sender;
}

static PyObject *state_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"key",           "prefix", "nonce",      "limit",   "dialect",
                            "little_endian", "held",   "discarding", "command", "batch",   NULL};
    const codec_crypto *crypto = &((const module_state *)PyType_GetModuleState(type))->crypto;
    const char *key, *prefix;
    Py_ssize_t key_size, prefix_size;
    int little_endian = 0, discarding = 0;
    uint64_t command_at = 0, command_size = 0;
    codec_state codec = {.dialect = V3, .batch = BATCH_FRAMES};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "y#y#O&O&|O&pO&p(O&O&)O&", names, &key, &key_size,
                                     &prefix, &prefix_size, codec_as_64, &codec.nonce, codec_as_64, &codec.limit,
                                     codec_as_dialect, &codec.dialect, &little_endian, codec_as_64, &codec.held,
                                     &discarding, codec_as_64, &command_at, codec_as_64, &command_size, codec_as_batch,
                                     &codec.batch))
        return NULL;
    const int sender = sender_of(prefix, prefix_size);
    if (key_size != KEY_SIZE || sender == 2) {
        PyErr_SetString(PyExc_ValueError, "a key has 32 octets, and the prefix is that of a client or of a server");
        return NULL;
    }
    if (crypto->open == NULL) {
        PyErr_SetString(PyExc_ValueError, "setup() comes before any state");
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
    codec.from_server = (uint8_t)sender;
    derive_subkey(crypto, self->subkey, PREFIXES[sender], (const uint8_t *)key);
    self->codec = codec;
    return (PyObject *)self;
}

static void state_dealloc(PyObject *self) {
    wipe(((state_object *)self)->subkey, KEY_SIZE);
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static int set_flag(PyObject *self, PyObject *value, void *offset) {
    int flag = codec_is_deleted(value) ? -1 : PyObject_IsTrue(value);
    if (flag < 0)
        return -1;
    *((uint8_t *)self + (size_t)offset) = (uint8_t)flag;
    return 0;
}

static PyObject *get_prefix(PyObject *self, void *unused) {
    (void)unused;
    return PyBytes_FromStringAndSize((const char *)PREFIXES[((state_object *)self)->codec.from_server], NONCE_PREFIX);
}

static int set_dialect(PyObject *self, PyObject *value, void *offset) {
    return !codec_is_deleted(value) && codec_as_dialect(value, (uint8_t *)self + (size_t)offset) ? 0 : -1;
}

static PyObject *get_command(PyObject *self, void *unused) {
    (void)unused;
    const codec_state *codec = &((state_object *)self)->codec;
    return Py_BuildValue("(KK)", (unsigned long long)codec->command_at, (unsigned long long)codec->command_size);
}

static PyGetSetDef state_members[] = {
    {"prefix", get_prefix, NULL, NULL, NULL},
    {"nonce", codec_get_64, codec_set_64, NULL, NUMBER(state_object, codec.nonce)},
    {"limit", codec_get_64, codec_set_64, NULL, NUMBER(state_object, codec.limit)},
    {"dialect", codec_get_dialect, set_dialect, NULL, NUMBER(state_object, codec.dialect)},
    {"little_endian", codec_get_flag, set_flag, NULL, NUMBER(state_object, codec.little_endian)},
    {"held", codec_get_64, codec_set_64, NULL, NUMBER(state_object, codec.held)},
    {"discarding", codec_get_flag, set_flag, NULL, NUMBER(state_object, codec.discarding)},
    {"command", get_command, NULL, NULL, NULL},
    {"batch", codec_get_32, codec_set_32, NULL, NUMBER(state_object, codec.batch)},
    {NULL, NULL, NULL, NULL, NULL},
};

/* All its members, as attrs writes them. */
static PyObject *state_repr(PyObject *self) {
    PyObject *text = PyUnicode_FromString("CodecState(");
    for (const PyGetSetDef *member = state_members; text != NULL && member->name != NULL; member++) {
        PyObject *value = member->get(self, member->closure), *longer = NULL;
        if (value != NULL)
            longer = PyUnicode_FromFormat("%U%s=%R%s", text, member->name, value, member[1].name ? ", " : ")");
        Py_XDECREF(value);
        Py_DECREF(text);
        text = longer;
    }
    return text;
}

/* --- one frame by itself */

/* The call as the loops see it. */
static codec_batch batch_of(const module_state *module, const state_object *state, const codec_call *call) {
    return (codec_batch){
        .crypto = &module->crypto,
        .subkey = state->subkey,
        .source = call->source.buf,
        .target = call->target.buf,
        .start = call->start,
        .end = call->end,
        .at = call->at,
        .capacity = (size_t)call->target.len,
    };
}

/* open_one(source, start, end, target, at) -> (nonce, octets) */
static PyObject *open_one(PyObject *self, PyObject *const *arguments, Py_ssize_t given) {
    const module_state *module = PyType_GetModuleState(Py_TYPE(self));
    PyObject *all[6] = {self};
    memcpy(all + 1, arguments, (size_t)(given < 5 ? given : 5) * sizeof *arguments);
    codec_call call;
    if (codec_begin(module, module->state_type, all, given + 1, &call) < 0)
        return NULL;
    const state_object *state = (const state_object *)self;
    const codec_batch b = batch_of(module, state, &call);
    uint64_t nonce;
    size_t octets;
    const int fits = codec_open_single(&state->codec, &b, &nonce, &octets);
    codec_end(&call);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "a whole MESSAGE, and room for its box");
        return NULL;
    }
    return Py_BuildValue("(Kn)", (unsigned long long)nonce, (Py_ssize_t)octets);
}

/* seal_one(flags, body) -> bytes */
static PyObject *seal_one(PyObject *self, PyObject *arguments) {
    const module_state *module = PyType_GetModuleState(Py_TYPE(self));
    state_object *state = (state_object *)self;
    unsigned char flags;
    const char *body;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "by#", &flags, &body, &size))
        return NULL;
    const size_t header = codec_outer_header((uint64_t)size + OVERHEAD);
    PyObject *frame = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)header + OVERHEAD + size);
    if (frame == NULL)
        return NULL;
    uint8_t *out = (uint8_t *)PyBytes_AsString(frame), *inner = out + header + BOX_AT + MAC_SIZE;
    inner[0] = flags;
    memcpy(inner + 1, body, (size_t)size);
    codec_seal_message(&state->codec, &module->crypto, state->subkey, out, inner, (uint64_t)size);
    return frame;
}

static PyMethodDef state_methods[] = {
    {"open_one", (PyCFunction)(void (*)(void))open_one, METH_FASTCALL, NULL},
    {"seal_one", seal_one, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot state_slots[] = {
    {Py_tp_doc, "One direction of a session: see state.CodecState."},
    {Py_tp_new, state_new},
    {Py_tp_dealloc, state_dealloc},
    {Py_tp_repr, state_repr},
    {Py_tp_getset, state_members},
    {Py_tp_methods, state_methods},
    {0, NULL},
};

PyType_Spec codec_state_spec = {
    .name = "curveproxy.wire.codec._codec.CodecState",
    .basicsize = sizeof(state_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = state_slots,
};

/* --- the functions, and the same for other extensions */

typedef codec_stop codec_loop(codec_state *, codec_batch *);

static PyObject *run(PyObject *self, PyObject *const *arguments, Py_ssize_t given, codec_loop *loop) {
    const module_state *module = PyModule_GetState(self);
    codec_call call;
    if (codec_begin(module, module->state_type, arguments, given, &call) < 0)
        return NULL;
    state_object *state = (state_object *)arguments[0];
    codec_batch b = batch_of(module, state, &call);
    codec_stop stop;
    if (call.end - call.start < RELEASES_GIL_FROM) {
        stop = loop(&state->codec, &b);
    } else {
        codec_state codec = state->codec; /* others may read the state meanwhile */
        Py_BEGIN_ALLOW_THREADS
        stop = loop(&codec, &b);
        Py_END_ALLOW_THREADS
        state->codec = codec;
    }
    codec_end(&call);
    return codec_new_batch(module, b.start, b.at, b.messages, b.octets, stop);
}

PyObject *codec_open_frames(PyObject *self, PyObject *const *arguments, Py_ssize_t given) {
    return run(self, arguments, given, codec_open);
}

PyObject *codec_seal_frames(PyObject *self, PyObject *const *arguments, Py_ssize_t given) {
    return run(self, arguments, given, codec_seal);
}

/* As framing.frame_size, of a frame whose size is in order. */
static uint64_t frame_size(int v1, const uint8_t *frame, size_t have) {
    if (have < SHORT_HEADER)
        return 0;
    const int is_long = v1 ? frame[0] == V1_LONG : frame[0] & LONG;
    const size_t header = !is_long ? SHORT_HEADER : v1 ? V1_LONG_HEADER : LONG_HEADER;
    if (have < header)
        return 0;
    return header - (size_t)v1 + (is_long ? read_64(frame + 1) : frame[!v1]); /* in ZMTP 1.0 the flags are counted */
}

void codec_do_work(const codec_api *api, PyObject *self, int opens, codec_work *work) {
    const module_state *module = api->module;
    state_object *state = (state_object *)self;
    codec_batch b = {
        .crypto = &module->crypto,
        .subkey = state->subkey,
        .source = work->source,
        .target = work->target,
        .end = work->end,
        .capacity = work->capacity,
    };
    const uint64_t nonce = state->codec.nonce;
    work->stop = opens ? codec_open(&state->codec, &b) : codec_seal(&state->codec, &b);
    work->start = b.start;
    work->at = b.at;
    work->messages = b.messages;
    work->octets = b.octets;
    work->frames = state->codec.nonce - nonce;
    work->wanted = 0;
    if (work->stop == INCOMPLETE)
        work->wanted = frame_size(!opens && state->codec.dialect == V1, b.source + b.start, b.end - b.start);
}
