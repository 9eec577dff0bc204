/* The extension: what its two types and their functions share, and its beginning. _frames.c has those of MESSAGEs,
 * _records.c those of records, ../curve/_handshake.c those of the handshake.
 *
 * It is not linked with libsodium. The functions of PyNaCl's libsodium, and the classes of what is returned, are handed
 * to setup().
 */

#include "module.h"

/* How many functions of libsodium there are in a codec_crypto. */
enum { FUNCTIONS = sizeof(codec_crypto) / sizeof(void *) };

/* --- converters */

int codec_as_64(PyObject *value, void *to) {
    unsigned long long converted = PyLong_AsUnsignedLongLong(value);
    if (converted == (unsigned long long)-1 && PyErr_Occurred())
        return 0;
    *(uint64_t *)to = converted;
    return 1;
}

int codec_as_batch(PyObject *value, void *to) {
    uint64_t batch;
    if (!codec_as_64(value, &batch))
        return 0;
    if (batch > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a batch has less than 2**32 frames");
        return 0;
    }
    *(uint32_t *)to = (uint32_t)batch;
    return 1;
}

int codec_as_dialect(PyObject *value, void *to) {
    uint64_t dialect;
    if (!codec_as_64(value, &dialect))
        return 0;
    if (dialect < V1 || dialect > V3) {
        PyErr_SetString(PyExc_ValueError, "a dialect is 1, 2 or 3");
        return 0;
    }
    *(uint8_t *)to = (uint8_t)dialect;
    return 1;
}

/* --- members */

static void *at_offset(PyObject *self, void *offset) {
    return (char *)self + (size_t)offset;
}

int codec_is_deleted(PyObject *value) {
    if (value == NULL)
        PyErr_SetString(PyExc_AttributeError, "a state keeps all its members");
    return value == NULL;
}

PyObject *codec_get_64(PyObject *self, void *offset) {
    return PyLong_FromUnsignedLongLong(*(uint64_t *)at_offset(self, offset));
}

int codec_set_64(PyObject *self, PyObject *value, void *offset) {
    return !codec_is_deleted(value) && codec_as_64(value, at_offset(self, offset)) ? 0 : -1;
}

PyObject *codec_get_32(PyObject *self, void *offset) {
    return PyLong_FromUnsignedLong(*(uint32_t *)at_offset(self, offset));
}

int codec_set_32(PyObject *self, PyObject *value, void *offset) {
    return !codec_is_deleted(value) && codec_as_batch(value, at_offset(self, offset)) ? 0 : -1;
}

PyObject *codec_get_flag(PyObject *self, void *offset) {
    return PyBool_FromLong(*(uint8_t *)at_offset(self, offset));
}

PyObject *codec_get_dialect(PyObject *self, void *offset) {
    const module_state *module = PyType_GetModuleState(Py_TYPE(self));
    const uint8_t number = *(uint8_t *)at_offset(self, offset);
    if (module == NULL || module->dialects == NULL)
        return PyErr_Occurred() ? NULL : PyLong_FromLong(number);
    PyObject *dialect = PyTuple_GetItem(module->dialects, number - V1);
    Py_XINCREF(dialect);
    return dialect;
}

/* --- calls */

/* The memory of a Buffer, to be released by PyBuffer_Release. */
static int get_memory(const module_state *module, PyObject *buffer, Py_buffer *memory) {
    PyObject *data = PyObject_GetAttr(buffer, module->data);
    if (data == NULL)
        return -1;
    int result = PyObject_GetBuffer(data, memory, PyBUF_WRITABLE);
    Py_DECREF(data); /* memory keeps it */
    return result;
}

int codec_begin(const module_state *module, PyTypeObject *type, PyObject *const *arguments, Py_ssize_t given,
                codec_call *call) {
    if (module->batch_type == NULL || given != 6 || !Py_IS_TYPE(arguments[0], type)) {
        PyErr_SetString(PyExc_TypeError, "six arguments, of which a state of this module is the first");
        return -1;
    }
    Py_ssize_t start = PyLong_AsSsize_t(arguments[2]), end = PyLong_AsSsize_t(arguments[3]),
               at = PyLong_AsSsize_t(arguments[5]);
    if ((start == -1 || end == -1 || at == -1) && PyErr_Occurred())
        return -1;
    if (get_memory(module, arguments[1], &call->source) < 0)
        return -1;
    if (get_memory(module, arguments[4], &call->target) < 0) {
        PyBuffer_Release(&call->source);
        return -1;
    }
    if (start < 0 || start > end || end > call->source.len || at < 0 || at > call->target.len) {
        codec_end(call);
        PyErr_SetString(PyExc_ValueError, "places within the buffers");
        return -1;
    }
    call->start = (size_t)start;
    call->end = (size_t)end;
    call->at = (size_t)at;
    return 0;
}

void codec_end(codec_call *call) {
    PyBuffer_Release(&call->target);
    PyBuffer_Release(&call->source);
}

/* A state.Batch, as tuple.__new__(Batch, fields) makes one. */
PyObject *codec_new_batch(const module_state *module, size_t start, size_t at, uint64_t messages, uint64_t octets,
                          codec_stop stop) {
    PyObject *fields = PyTuple_New(5), *arguments = NULL, *result = NULL;
    if (fields == NULL)
        return NULL;
    PyObject *values[5] = {
        PyLong_FromSize_t(start),
        PyLong_FromSize_t(at),
        PyLong_FromUnsignedLongLong(messages),
        PyLong_FromUnsignedLongLong(octets),
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

/* --- what other extensions use */

static PyObject *result_of(const codec_api *api, const codec_work *work) {
    return codec_new_batch(api->module, work->start, work->at, work->messages, work->octets, work->stop);
}

static int add_api(PyObject *self, module_state *module) {
    module->api = (codec_api){
        .size = sizeof(codec_api),
        .module = module,
        .state_type = module->state_type,
        .work = codec_do_work,
        .result = result_of,
    };
    PyObject *capsule = PyCapsule_New(&module->api, CODEC_API, NULL);
    int result = capsule == NULL ? -1 : PyModule_AddObjectRef(self, "api", capsule);
    Py_XDECREF(capsule);
    return result;
}

/* --- setup */

/* setup(addresses, Batch, stops, dialects, PeerError, flaws): those of libsodium's functions, in the order of
 * codec_crypto; the classes of state.py, those of an enumeration as a tuple of their members; and what the handshake
 * raises, with the arguments for each of handshake.FLAWS. */
static PyObject *setup(PyObject *self, PyObject *arguments) {
    module_state *module = PyModule_GetState(self);
    PyObject *given, *batch, *stops, *dialects, *peer_error, *flaws;
    if (!PyArg_ParseTuple(arguments, "O!OO!O!OO!", &PyTuple_Type, &given, &batch, &PyTuple_Type, &stops, &PyTuple_Type,
                          &dialects, &peer_error, &PyTuple_Type, &flaws))
        return NULL;
    if (PyTuple_Size(given) != FUNCTIONS) {
        PyErr_SetString(PyExc_ValueError, "the functions of this version");
        return NULL;
    }
    void *functions[FUNCTIONS];
    for (int i = 0; i < FUNCTIONS; i++) {
        functions[i] = PyLong_AsVoidPtr(PyTuple_GetItem(given, i));
        if (functions[i] == NULL && PyErr_Occurred())
            return NULL;
    }
    codec_crypto crypto;
    memcpy(&crypto, functions, sizeof crypto);
    if (crypto.open == NULL || crypto.seal == NULL || crypto.hash == NULL || crypto.beforenm == NULL) {
        PyErr_SetString(PyExc_ValueError, "these addresses are not 0");
        return NULL;
    }
    if (crypto.salsa20 == NULL || crypto.poly1305 == NULL || crypto.poly1305_verify == NULL)
        crypto.hsalsa20 = NULL; /* all parts of a box, or none: has_parts() */
    if (!PyType_Check(batch) || !PyType_IsSubtype((PyTypeObject *)batch, &PyTuple_Type) ||
        PyTuple_Size(stops) != STOPS || PyTuple_Size(dialects) != V3 || PyTuple_Size(flaws) != HANDSHAKE_FLAWS) {
        PyErr_SetString(PyExc_ValueError, "a class of tuples, and the stops, dialects and flaws of this version");
        return NULL;
    }
    module->crypto = crypto;
    module->new_tuple = (newfunc)PyType_GetSlot(&PyTuple_Type, Py_tp_new);
    PyObject *old[] = {module->batch_type, module->stops, module->dialects, module->peer_error, module->flaws};
    module->batch_type = Py_NewRef(batch);
    module->stops = Py_NewRef(stops);
    module->dialects = Py_NewRef(dialects);
    module->peer_error = Py_NewRef(peer_error);
    module->flaws = Py_NewRef(flaws);
    for (int i = 0; i < 5; i++)
        Py_XDECREF(old[i]);
    Py_RETURN_NONE;
}

/* --- the module */

static PyMethodDef module_methods[] = {
    {"setup", setup, METH_VARARGS, NULL},
    {"open_frames", (PyCFunction)(void (*)(void))codec_open_frames, METH_FASTCALL, NULL},
    {"seal_frames", (PyCFunction)(void (*)(void))codec_seal_frames, METH_FASTCALL, NULL},
    {"open_records", (PyCFunction)(void (*)(void))codec_open_records, METH_FASTCALL, NULL},
    {"seal_records", (PyCFunction)(void (*)(void))codec_seal_records, METH_FASTCALL, NULL},
    {"seal_octets", (PyCFunction)(void (*)(void))codec_seal_octets, METH_FASTCALL, NULL},
    {"answer_hello_untrusted", (PyCFunction)(void (*)(void))codec_answer_hello, METH_FASTCALL, NULL},
    {"open_initiate_untrusted", (PyCFunction)(void (*)(void))codec_open_initiate, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static int module_exec(PyObject *self) {
    module_state *module = PyModule_GetState(self);
    module->data = PyUnicode_InternFromString("data");
    module->public_name = PyUnicode_InternFromString("public");
    module->secret_name = PyUnicode_InternFromString("secret");
    module->state_type = (PyTypeObject *)PyType_FromModuleAndSpec(self, &codec_state_spec, NULL);
    module->record_type = (PyTypeObject *)PyType_FromModuleAndSpec(self, &codec_record_spec, NULL);
    if (module->data == NULL || module->public_name == NULL || module->secret_name == NULL)
        return -1;
    if (module->state_type == NULL || module->record_type == NULL)
        return -1;
    if (PyModule_AddType(self, module->state_type) < 0 || PyModule_AddType(self, module->record_type) < 0)
        return -1;
    return add_api(self, module);
}

static int module_traverse(PyObject *self, visitproc visit, void *arg) {
    const module_state *module = PyModule_GetState(self);
    Py_VISIT(module->state_type);
    Py_VISIT(module->record_type);
    Py_VISIT(module->batch_type);
    Py_VISIT(module->stops);
    Py_VISIT(module->dialects);
    Py_VISIT(module->peer_error);
    Py_VISIT(module->flaws);
    return 0;
}

static int module_clear(PyObject *self) {
    module_state *module = PyModule_GetState(self);
    Py_CLEAR(module->state_type);
    Py_CLEAR(module->record_type);
    Py_CLEAR(module->batch_type);
    Py_CLEAR(module->stops);
    Py_CLEAR(module->dialects);
    Py_CLEAR(module->peer_error);
    Py_CLEAR(module->flaws);
    Py_CLEAR(module->data);
    Py_CLEAR(module->public_name);
    Py_CLEAR(module->secret_name);
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
