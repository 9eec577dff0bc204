/* The twin in C of python.py, which is the definition: the same batch, the same stops, octet by octet.
 *
 * It has no crypto of its own. setup() is handed the addresses of PyNaCl's two functions; boxes are opened and sealed
 * from one buffer straight into the other. Nothing outside of source[start:end] is read, nothing outside of
 * target[at:] is written but the one octet of each sealed frame's header in the source. The GIL is released meanwhile.
 *
 * # MESSAGE, 33 + n octets: name[8] nonce[8] Box [flags[1] + data[n]]
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <string.h>

/* Flags of a frame, and those inside of a box. */
enum { MORE = 1, LONG = 2, COMMAND = 4, INNER_MORE = 1, INNER_COMMAND = 2 };

/* The numbers of state.Stop. */
enum stop {
    INCOMPLETE, FULL, STOP_COMMAND, FRAMING, OUTER_MORE, TOO_SHORT, TOO_LARGE, NOT_MESSAGE, NONCE, BOX
};

enum {
    SHORT_HEADER = 2,
    LONG_HEADER = 9,
    V1_LONG_HEADER = 10,
    V1_LONG = 0xFF,
    SHORT_MAX = 255,
    V1_SHORT_MAX = 253,
    NAME_SIZE = 8,
    SHORT_NONCE = 8,
    NONCE_PREFIX = 16,
    NONCE_SIZE = NONCE_PREFIX + SHORT_NONCE,
    BOX_AT = NAME_SIZE + SHORT_NONCE,
    OVERHEAD = 33,
    KEY_SIZE = 32
};

#define FRAME_MAX ((uint64_t)INT64_MAX)

static const uint8_t NAME[NAME_SIZE] = {7, 'M', 'E', 'S', 'S', 'A', 'G', 'E'};

typedef int box_function(uint8_t *to, const uint8_t *from, unsigned long long size, const uint8_t *nonce,
                         const uint8_t *key);
static box_function *open_box, *seal_box;

/* One direction of a session. */
typedef struct {
    const uint8_t *key;
    uint8_t box_nonce[NONCE_SIZE];
    uint64_t nonce, limit, held;
    int v1, little_endian, discarding;
} direction;

/* Where a batch stands. */
typedef struct {
    uint8_t *source, *target;
    size_t start, end, at, capacity;
    uint64_t messages, octets, frames; /* frames: how many more may be turned */
    size_t command_at, command_size;
    enum stop stop;
} batch;

static uint64_t read_64(const uint8_t *from) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | from[i];
    return value;
}

static void write_64(uint8_t *to, uint64_t value) {
    for (int i = 7; i >= 0; i--, value >>= 8)
        to[i] = (uint8_t)value;
}

static uint64_t reversed(uint64_t value) {
    uint64_t result = 0;
    for (int i = 0; i < 8; i++, value >>= 8)
        result = result << 8 | (value & 0xFF);
    return result;
}

/* Whether a message may grow by so many octets, whatever a header claims. */
static int fits(const direction *state, uint64_t header, uint64_t body) {
    uint64_t left = state->held <= state->limit ? state->limit - state->held : 0;
    return header <= left && body <= left - header;
}

/* A part has been turned: its octets with and without the plain frame's header. */
static void count(direction *state, batch *b, uint64_t weight, uint64_t size, int more) {
    b->octets += size;
    if (more) {
        state->held += weight;
    } else {
        state->held = 0;
        b->messages++;
    }
}

static void write_plain_header(const direction *state, uint8_t *to, size_t header, uint64_t size, uint8_t more) {
    if (state->v1) {
        if (header == SHORT_HEADER) {
            to[0] = (uint8_t)(size + 1);
        } else {
            to[0] = V1_LONG;
            write_64(to + 1, size + 1);
        }
        to[header - 1] = more;
    } else if (header == SHORT_HEADER) {
        to[0] = more;
        to[1] = (uint8_t)size;
    } else {
        to[0] = more | LONG;
        write_64(to + 1, size);
    }
}

static enum stop open_batch(direction *state, batch *b) {
    const uint64_t short_max = state->v1 ? V1_SHORT_MAX : SHORT_MAX;
    while (b->end - b->start >= SHORT_HEADER) {
        if (!b->frames--)
            return FULL;
        const uint8_t *frame = b->source + b->start;
        size_t left = b->end - b->start, outer = frame[0] & LONG ? LONG_HEADER : SHORT_HEADER;
        if (frame[0] & ~(LONG | COMMAND) && (frame[0] & ~LONG) != MORE)
            return FRAMING;
        if (left < outer)
            return INCOMPLETE;
        uint64_t size = frame[0] & LONG ? read_64(frame + 1) : frame[1];
        if (size < OVERHEAD)
            return TOO_SHORT;
        uint64_t plain = size - OVERHEAD;
        size_t header = plain <= short_max ? SHORT_HEADER : state->v1 ? V1_LONG_HEADER : LONG_HEADER;
        if (!fits(state, header, plain))
            return size > FRAME_MAX ? FRAMING : TOO_LARGE;
        if (size > left - outer)
            return INCOMPLETE;
        const uint8_t *message = frame + outer, *nonce = message + NAME_SIZE;
        if (memcmp(message, NAME, NAME_SIZE))
            return NOT_MESSAGE;
        uint64_t next = state->nonce + 1; /* 0 behind the last one, which is none */
        if (!next || read_64(nonce) != (state->little_endian ? reversed(next) : next))
            return NONCE;
        if (header + plain > b->capacity - b->at)
            return FULL;
        uint8_t *out = b->target + b->at, *inner = out + header - 1;
        memcpy(state->box_nonce + NONCE_PREFIX, nonce, SHORT_NONCE);
        if (open_box(inner, message + BOX_AT, size - BOX_AT, state->box_nonce, state->key))
            return BOX;
        if (frame[0] & MORE && (*inner & (INNER_MORE | INNER_COMMAND)) != INNER_MORE)
            return OUTER_MORE;
        b->start += outer + size;
        state->nonce = next;
        if (*inner & INNER_COMMAND) {
            b->command_at = b->at + header;
            b->command_size = plain;
            return STOP_COMMAND;
        }
        uint8_t more = *inner & INNER_MORE;
        if (state->discarding) {
            state->discarding = more;
            continue;
        }
        write_plain_header(state, out, header, plain, more);
        b->at += header + plain;
        count(state, b, header + plain, plain, more);
    }
    return INCOMPLETE;
}

static enum stop seal_batch(direction *state, batch *b) {
    while (b->end - b->start >= SHORT_HEADER) {
        if (!b->frames--)
            return FULL;
        uint8_t *frame = b->source + b->start, flags = frame[0];
        size_t left = b->end - b->start, header = SHORT_HEADER;
        int is_long = state->v1 ? flags == V1_LONG : flags & LONG;
        if (is_long)
            header = state->v1 ? V1_LONG_HEADER : LONG_HEADER;
        if (left < header)
            return INCOMPLETE;
        uint64_t size;
        if (state->v1) { /* its size counts the flags, which stand last; a size of 0 becomes the largest there is */
            size = (is_long ? read_64(frame + 1) : flags) - 1;
            flags = frame[header - 1] & MORE;
        } else {
            size = is_long ? read_64(frame + 1) : frame[1];
            if (flags & ~(MORE | LONG) && (flags & ~LONG) != COMMAND)
                return FRAMING;
        }
        if (size > FRAME_MAX)
            return FRAMING;
        if (!fits(state, header, size))
            return TOO_LARGE;
        if (size > left - header)
            return INCOMPLETE;
        if (flags & COMMAND)
            return STOP_COMMAND;
        uint64_t sealed = size + OVERHEAD;
        size_t outer = sealed <= SHORT_MAX ? SHORT_HEADER : LONG_HEADER;
        if (outer + sealed > b->capacity - b->at)
            return FULL;
        uint8_t *out = b->target + b->at, *message = out + outer, *inner = frame + header - 1;
        *inner = flags & MORE;
        out[0] = outer == SHORT_HEADER ? 0 : LONG;
        if (outer == SHORT_HEADER)
            out[1] = (uint8_t)sealed;
        else
            write_64(out + 1, sealed);
        memcpy(message, NAME, NAME_SIZE);
        write_64(message + NAME_SIZE, ++state->nonce);
        memcpy(state->box_nonce + NONCE_PREFIX, message + NAME_SIZE, SHORT_NONCE);
        seal_box(message + BOX_AT, inner, size + 1, state->box_nonce, state->key);
        b->at += outer + sealed;
        b->start += header + size;
        count(state, b, header + size, size, flags & MORE);
    }
    return INCOMPLETE;
}

/* run(source, start, end, target, at, key, prefix, nonce, limit, held, v1, little_endian, discarding, frames)
 * -> (start, at, messages, octets, stop, nonce, held, discarding, command_at, command_size) */
enum { ARGUMENTS = 14 };

static PyObject *run(PyObject *const *arguments, Py_ssize_t given, enum stop (*turn)(direction *, batch *)) {
    if (given != ARGUMENTS || open_box == NULL) {
        PyErr_SetString(PyExc_TypeError, "fourteen arguments, and setup() before");
        return NULL;
    }
    char *key, *prefix;
    Py_ssize_t key_size, prefix_size;
    if (PyBytes_AsStringAndSize(arguments[5], &key, &key_size) < 0 ||
        PyBytes_AsStringAndSize(arguments[6], &prefix, &prefix_size) < 0)
        return NULL;
    Py_ssize_t start = PyLong_AsSsize_t(arguments[1]), end = PyLong_AsSsize_t(arguments[2]),
               at = PyLong_AsSsize_t(arguments[4]);
    direction state = {
        .key = (const uint8_t *)key,
        .nonce = PyLong_AsUnsignedLongLong(arguments[7]),
        .limit = PyLong_AsUnsignedLongLong(arguments[8]),
        .held = PyLong_AsUnsignedLongLong(arguments[9]),
        .v1 = PyObject_IsTrue(arguments[10]),
        .little_endian = PyObject_IsTrue(arguments[11]),
        .discarding = PyObject_IsTrue(arguments[12]),
    };
    uint64_t frames = PyLong_AsUnsignedLongLong(arguments[13]);
    if (PyErr_Occurred())
        return NULL;
    Py_buffer source, target;
    if (PyObject_GetBuffer(arguments[0], &source, PyBUF_WRITABLE) < 0)
        return NULL;
    if (PyObject_GetBuffer(arguments[3], &target, PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&source);
        return NULL;
    }
    PyObject *result = NULL;
    if (key_size != KEY_SIZE || prefix_size != NONCE_PREFIX || start < 0 || start > end || end > source.len || at < 0 ||
        at > target.len) {
        PyErr_SetString(PyExc_ValueError, "a key of 32 octets, a prefix of 16, and places within the buffers");
    } else {
        memcpy(state.box_nonce, prefix, NONCE_PREFIX);
        batch b = {
            .source = source.buf,
            .target = target.buf,
            .start = (size_t)start,
            .end = (size_t)end,
            .at = (size_t)at,
            .capacity = (size_t)target.len,
            .frames = frames,
        };
        Py_BEGIN_ALLOW_THREADS
        b.stop = turn(&state, &b);
        Py_END_ALLOW_THREADS
        result = Py_BuildValue("(nnKKiKKNnn)", (Py_ssize_t)b.start, (Py_ssize_t)b.at, (unsigned long long)b.messages,
                               (unsigned long long)b.octets, (int)b.stop, (unsigned long long)state.nonce,
                               (unsigned long long)state.held, PyBool_FromLong(state.discarding),
                               (Py_ssize_t)b.command_at, (Py_ssize_t)b.command_size);
    }
    PyBuffer_Release(&target);
    PyBuffer_Release(&source);
    return result;
}

static PyObject *open_frames(PyObject *module, PyObject *const *arguments, Py_ssize_t given) {
    (void)module;
    return run(arguments, given, open_batch);
}

static PyObject *seal_frames(PyObject *module, PyObject *const *arguments, Py_ssize_t given) {
    (void)module;
    return run(arguments, given, seal_batch);
}

/* setup(open, seal): the addresses of crypto_box_open_easy_afternm and crypto_box_easy_afternm. */
static PyObject *setup(PyObject *module, PyObject *const *arguments, Py_ssize_t given) {
    (void)module;
    if (given != 2) {
        PyErr_SetString(PyExc_TypeError, "two addresses");
        return NULL;
    }
    void *addresses[2];
    for (int i = 0; i < 2; i++) {
        addresses[i] = PyLong_AsVoidPtr(arguments[i]);
        if (addresses[i] == NULL) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "an address is not 0");
            return NULL;
        }
    }
    memcpy(&open_box, &addresses[0], sizeof open_box);
    memcpy(&seal_box, &addresses[1], sizeof seal_box);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"setup", (PyCFunction)(void (*)(void))setup, METH_FASTCALL, NULL},
    {"open_frames", (PyCFunction)(void (*)(void))open_frames, METH_FASTCALL, NULL},
    {"seal_frames", (PyCFunction)(void (*)(void))seal_frames, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_codec", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit__codec(void) {
    return PyModule_Create(&module);
}
