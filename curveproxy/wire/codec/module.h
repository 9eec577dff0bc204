/* What the files of the extension share: its state, its converters, and how a call of the codec begins and ends. */

#ifndef CURVEPROXY_CODEC_MODULE_H
#define CURVEPROXY_CODEC_MODULE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "api.h"
#include "wire.h"

typedef struct {
    PyTypeObject *state_type, *record_type;
    PyObject *batch_type, *stops, *dialects; /* NULL before setup() */
    PyObject *peer_error, *flaws;            /* the same */
    PyObject *data;                          /* the name of a Buffer's memory */
    PyObject *public_name, *secret_name;     /* of a KeyPair's halves */
    codec_crypto crypto;
    newfunc new_tuple;
    codec_api api;
} module_state;

/* Converters for PyArg_Parse: integers of 64 bits and of 32 bits without sign, and a dialect. */
int codec_as_64(PyObject *value, void *to);
int codec_as_batch(PyObject *value, void *to);
int codec_as_dialect(PyObject *value, void *to);

/* Members that hold a number or a yes and no: where it is in its object. */
#define NUMBER(type, member) (void *)offsetof(type, member)
PyObject *codec_get_64(PyObject *self, void *offset);
int codec_is_deleted(PyObject *value);
int codec_set_64(PyObject *self, PyObject *value, void *offset);
PyObject *codec_get_32(PyObject *self, void *offset);
int codec_set_32(PyObject *self, PyObject *value, void *offset);
PyObject *codec_get_flag(PyObject *self, void *offset);
PyObject *codec_get_dialect(PyObject *self, void *offset);

/* A call (state, source, start, end, target, at) -> Batch. Between its begin, which returns -1 after an error, and its
 * end the buffers are held. */
typedef struct {
    Py_buffer source, target;
    size_t start, end, at;
} codec_call;

int codec_begin(const module_state *module, PyTypeObject *type, PyObject *const *arguments, Py_ssize_t given,
                codec_call *call);
void codec_end(codec_call *call);
PyObject *codec_new_batch(const module_state *module, size_t start, size_t at, uint64_t messages, uint64_t octets,
                          codec_stop stop);

/* _frames.c and _records.c: their types, and their functions. */
extern PyType_Spec codec_state_spec;
PyObject *codec_open_frames(PyObject *self, PyObject *const *arguments, Py_ssize_t given);
PyObject *codec_seal_frames(PyObject *self, PyObject *const *arguments, Py_ssize_t given);
void codec_do_work(const codec_api *api, PyObject *state, int opens, codec_work *work);
extern PyType_Spec codec_record_spec;
PyObject *codec_open_records(PyObject *self, PyObject *const *arguments, Py_ssize_t given);
PyObject *codec_seal_records(PyObject *self, PyObject *const *arguments, Py_ssize_t given);
PyObject *codec_seal_octets(PyObject *self, PyObject *const *arguments, Py_ssize_t given);

/* ../curve/_handshake.c */
enum { HANDSHAKE_FLAWS = 8 };
PyObject *codec_answer_hello(PyObject *self, PyObject *const *arguments, Py_ssize_t given);
PyObject *codec_open_initiate(PyObject *self, PyObject *const *arguments, Py_ssize_t given);

#endif
