/* The twin in C of flow.py, and the engine: ordinary turns of pumps, many in one call and without the GIL.
 *
 * What is ordinary is said in flow.py. At anything else the call returns: who is to go on, and how far it has come. No
 * object of Python is made while turns are made.
 *
 * It is not linked with the codec: setup() is handed what _codec.c has for others.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <structmember.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "../../wire/codec/api.h"

/* flow.py: what a flow awaits. */
enum { NEITHER, SOURCE, SINK };

typedef struct {
    PyObject_HEAD
    PyObject *state; /* NULL where an engine may not turn its frames */
    unsigned long long messages, octets, moved;
    uint8_t *kept; /* read and not turned; NULL for nothing */
    uint32_t kept_size;
    int source, sink;
    uint8_t awaits;
    char opens, sink_gone, source_gone, finishing, ending, has_whole, is_watched, is_silent;
} flow_object;

/* A turn that has been begun, for a flow which takes it at once: pointed to, and not owned. */
typedef struct {
    const flow_object *flow;
    codec_work work;
    size_t sent;
} begun_turn;

typedef struct {
    PyTypeObject *flow_type, *engine_type, *state_type;
    PyObject *under_pressure, *kept_changed; /* names */
    const codec_api *api;     /* NULL before setup() */
    begun_turn begun;
} module_state;

/* --- Flow */

static int flow_init(PyObject *self, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"source", "sink", "state", "opens", NULL};
    flow_object *flow = (flow_object *)self;
    PyObject *state;
    int source, sink, opens;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "iiOp", names, &source, &sink, &state, &opens))
        return -1;
    PyObject *old = flow->state;
    flow->state = state == Py_None ? NULL : Py_NewRef(state);
    Py_XDECREF(old);
    flow->source = source;
    flow->sink = sink;
    flow->opens = (char)opens;
    return 0;
}

static void flow_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((flow_object *)self)->state);
    free(((flow_object *)self)->kept);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* (end, frames, batch, sent), or None: see flow.py. */
static PyObject *flow_take_begun(PyObject *self, PyTypeObject *type, PyObject *const *arguments, Py_ssize_t given,
                                 PyObject *keywords) {
    (void)arguments, (void)keywords;
    module_state *module = PyType_GetModuleState(type);
    if (given) {
        PyErr_SetString(PyExc_TypeError, "no arguments");
        return NULL;
    }
    const begun_turn *begun = &module->begun;
    if (begun->flow != (flow_object *)self)
        Py_RETURN_NONE;
    module->begun.flow = NULL;
    PyObject *batch = module->api->result(module->api, &begun->work);
    return batch == NULL ? NULL
                         : Py_BuildValue("(nKNn)", (Py_ssize_t)begun->work.end, (unsigned long long)begun->work.frames,
                                         batch, (Py_ssize_t)begun->sent);
}

/* Keep these octets instead; needs no GIL. 0 where there is no memory for them, and then what was kept still is. */
static int keep(flow_object *flow, const uint8_t *octets, size_t size) {
    uint8_t *kept = NULL;
    if (size) {
        kept = realloc(flow->kept, size);
        if (kept == NULL)
            return 0;
        memcpy(kept, octets, size);
    } else {
        free(flow->kept);
    }
    flow->kept = kept;
    flow->kept_size = (uint32_t)size;
    return 1;
}

static PyObject *get_kept(PyObject *self, void *unused) {
    const flow_object *flow = (flow_object *)self;
    (void)unused;
    return PyBytes_FromStringAndSize((const char *)flow->kept, flow->kept_size);
}

static int set_kept(PyObject *self, PyObject *value, void *unused) {
    char *octets;
    Py_ssize_t size;
    (void)unused;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "a flow keeps all its members");
        return -1;
    }
    if (PyBytes_AsStringAndSize(value, &octets, &size) < 0)
        return -1;
    if (size > UINT32_MAX || !keep((flow_object *)self, (const uint8_t *)octets, (size_t)size)) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static PyGetSetDef flow_getset[] = {
    {"_kept", get_kept, set_kept, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define FLAG(name, member) {name, T_BOOL, offsetof(flow_object, member), 0, NULL}
#define NUMBER(name) {#name, T_ULONGLONG, offsetof(flow_object, name), 0, NULL}

static PyMemberDef flow_members[] = {
    NUMBER(messages),
    NUMBER(octets),
    NUMBER(moved),
    {"_awaits", T_UBYTE, offsetof(flow_object, awaits), 0, NULL},
    FLAG("_sink_gone", sink_gone),
    FLAG("_source_gone", source_gone),
    FLAG("_finishing", finishing),
    FLAG("_ending", ending),
    FLAG("_has_whole", has_whole),
    FLAG("_is_watched", is_watched),
    FLAG("is_silent", is_silent),
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef flow_methods[] = {
    {"_take_begun", (PyCFunction)(void (*)(void))flow_take_begun, METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot flow_slots[] = {
    {Py_tp_doc, "One direction of a session: see flow.Flow."},
    {Py_tp_init, flow_init},
    {Py_tp_dealloc, flow_dealloc},
    {Py_tp_members, flow_members},
    {Py_tp_getset, flow_getset},
    {Py_tp_methods, flow_methods},
    {0, NULL},
};

static PyType_Spec flow_spec = {
    .name = "curveproxy.proxy.relay._engine.Flow",
    .basicsize = sizeof(flow_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = flow_slots,
};

/* --- Engine */

/* readers: the flow that reads from a descriptor, at the place of that; NULL where there is none.
 * events[next:fetched] have not been served; of a descriptor that was left it is -1.
 * reach: how far the source is filled; keeps: of how much a beginning of a frame may be kept; changed: the flows that
 * keep more or less than before this call. */
typedef struct {
    PyObject_HEAD
    PyObject *memory;
    Py_buffer source, target;
    flow_object **readers;
    struct epoll_event *events;
    flow_object **changed;
    size_t reach, keeps;
    int readers_size, epoll, turn, next, fetched, changes;
} engine_object;

static PyObject *engine_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"epoll", "turn", "source", "target", "reach", "keeps", "memory", NULL};
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    engine_object *engine = (engine_object *)allocate(type, 0);
    Py_ssize_t reach, keeps;
    PyObject *memory;
    if (engine == NULL)
        return NULL;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "iiw*w*nnO", names, &engine->epoll, &engine->turn,
                                     &engine->source, &engine->target, &reach, &keeps, &memory)) {
        Py_DECREF(engine);
        return NULL;
    }
    engine->memory = Py_NewRef(memory);
    engine->reach = (size_t)reach;
    engine->keeps = (size_t)keeps;
    if (engine->turn < 1 || keeps < 1 || reach < keeps || reach > engine->source.len) {
        PyErr_SetString(PyExc_ValueError, "one event and one octet at least, and no more than the source holds");
        Py_DECREF(engine);
        return NULL;
    }
    engine->events = PyMem_Calloc((size_t)engine->turn, sizeof *engine->events);
    engine->changed = PyMem_Calloc((size_t)engine->turn, sizeof *engine->changed);
    if (engine->events == NULL || engine->changed == NULL) {
        Py_DECREF(engine);
        return PyErr_NoMemory();
    }
    return (PyObject *)engine;
}

static int engine_traverse(PyObject *self, visitproc visit, void *arg) {
    const engine_object *engine = (engine_object *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(engine->memory);
    for (int i = 0; i < engine->readers_size; i++)
        Py_VISIT((PyObject *)engine->readers[i]);
    return 0;
}

static void set_reader(engine_object *engine, int descriptor, flow_object *flow) {
    flow_object *old = engine->readers[descriptor];
    engine->readers[descriptor] = flow;
    Py_XDECREF((PyObject *)old);
}

static int engine_clear(PyObject *self) {
    engine_object *engine = (engine_object *)self;
    for (int i = 0; i < engine->readers_size; i++)
        set_reader(engine, i, NULL);
    Py_CLEAR(engine->memory);
    return 0;
}

static void engine_dealloc(PyObject *self) {
    engine_object *engine = (engine_object *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    engine_clear(self);
    PyMem_Free(engine->readers);
    PyMem_Free(engine->events);
    PyMem_Free(engine->changed);
    PyBuffer_Release(&engine->target);
    PyBuffer_Release(&engine->source);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static Py_ssize_t engine_len(PyObject *self) {
    const engine_object *engine = (engine_object *)self;
    return engine->fetched - engine->next;
}

/* fetch() */
static PyObject *engine_fetch(PyObject *self, PyObject *unused) {
    engine_object *engine = (engine_object *)self;
    (void)unused;
    if (engine->next == engine->fetched) {
        int found = epoll_wait(engine->epoll, engine->events, engine->turn, 0);
        if (found < 0 && errno != EINTR)
            return PyErr_SetFromErrno(PyExc_OSError);
        engine->next = 0;
        engine->fetched = found < 0 ? 0 : found;
    }
    return PyBool_FromLong(engine->fetched);
}

static int make_room(engine_object *engine, int descriptor) {
    const int size = descriptor + descriptor / 8 + 64; /* in proportion, as a list grows */
    flow_object **readers = PyMem_Realloc(engine->readers, (size_t)size * sizeof *readers);
    if (readers == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memset(readers + engine->readers_size, 0, (size_t)(size - engine->readers_size) * sizeof *readers);
    engine->readers = readers;
    engine->readers_size = size;
    return 0;
}

/* Whether it is a flow, and an engine of this module knows how to turn what it has; else a TypeError. */
static int is_known(const module_state *module, PyObject *flow) {
    int is = module->api != NULL && PyObject_TypeCheck(flow, module->flow_type);
    if (is) {
        PyObject *state = ((flow_object *)flow)->state;
        is = state == NULL || Py_IS_TYPE(state, module->state_type);
    }
    if (!is)
        PyErr_SetString(PyExc_TypeError, "a flow with a state of the codec that was set up");
    return is;
}

/* enter(descriptor, flow) */
static PyObject *engine_enter(PyObject *self, PyTypeObject *type, PyObject *const *arguments, Py_ssize_t given,
                              PyObject *keywords) {
    engine_object *engine = (engine_object *)self;
    const module_state *module = PyType_GetModuleState(type);
    (void)keywords;
    if (given != 2) {
        PyErr_SetString(PyExc_TypeError, "a descriptor, and a flow");
        return NULL;
    }
    const long descriptor = PyLong_AsLong(arguments[0]);
    if (descriptor == -1 && PyErr_Occurred())
        return NULL;
    if (descriptor < 0 || descriptor >= INT32_MAX / 2) {
        PyErr_SetString(PyExc_ValueError, "a descriptor is not negative");
        return NULL;
    }
    if (!is_known(module, arguments[1]) ||
        (descriptor >= engine->readers_size && make_room(engine, (int)descriptor) < 0))
        return NULL;
    set_reader(engine, (int)descriptor, (flow_object *)Py_NewRef(arguments[1]));
    Py_RETURN_NONE;
}

/* leave(descriptor) */
static PyObject *engine_leave(PyObject *self, PyObject *argument) {
    engine_object *engine = (engine_object *)self;
    const long descriptor = PyLong_AsLong(argument);
    if (descriptor == -1 && PyErr_Occurred())
        return NULL;
    for (int i = engine->next; i < engine->fetched; i++)
        if (engine->events[i].data.fd == descriptor)
            engine->events[i].data.fd = -1;
    if (descriptor >= 0 && descriptor < engine->readers_size)
        set_reader(engine, (int)descriptor, NULL);
    Py_RETURN_NONE;
}

/* --- turns, without the GIL */

static int is_ordinary(const engine_object *engine, const flow_object *flow) {
    return flow->awaits == SOURCE && flow->state != NULL && flow->kept_size < engine->keeps && !flow->sink_gone &&
           !flow->source_gone && !flow->finishing && !flow->ending && !flow->has_whole && !flow->is_watched;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time); /* that of time.perf_counter() */
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* One turn of a flow that is ordinary. 0 where the turn is not: then its pump has to go on, with what was begun. */
static int make_turn(engine_object *engine, module_state *module, flow_object *flow) {
    begun_turn *begun = &module->begun;
    codec_work *work = &begun->work;
    uint8_t *source = engine->source.buf;
    const size_t kept = flow->kept_size;
    ssize_t got, sent = 0;
    do
        got = recv(flow->source, source + kept, engine->reach - kept, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 1;
    if (!got)
        return 0; /* it hears of the end when it reads, once more */
    flow->is_silent = 0;
    *begun = (begun_turn){.flow = flow};
    if (got < 0)
        return 0;
    flow->moved += (size_t)got;
    if (kept)
        memcpy(source, flow->kept, kept);
    work->source = source;
    work->target = engine->target.buf;
    work->end = kept + (size_t)got;
    work->capacity = (size_t)engine->target.len;
    module->api->work(module->api, flow->state, flow->opens, work);
    const size_t rest = work->end - work->start;
    if (work->stop != INCOMPLETE || work->end == engine->reach || rest >= engine->keeps ||
        work->wanted > engine->reach)
        return 0;
    if (work->at) {
        do
            sent = send(flow->sink, work->target, work->at, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        if (sent > 0) {
            flow->moved += (size_t)sent;
            begun->sent = (size_t)sent;
        }
        if (begun->sent < work->at)
            return 0;
    }
    if ((kept || rest) && !keep(flow, source + work->start, rest))
        return 0;
    if (kept != rest)
        engine->changed[engine->changes++] = flow;
    flow->messages += work->messages;
    flow->octets += work->octets;
    begun->flow = NULL;
    return 1;
}

/* What take() comes back with: nobody; a descriptor with events; a flow. */
typedef struct {
    flow_object *flow;
    int descriptor;
    uint32_t events;
} found;

/* Who reads from a descriptor, or NULL. */
static flow_object *reader_of(const engine_object *engine, int descriptor) {
    return descriptor >= 0 && descriptor < engine->readers_size ? engine->readers[descriptor] : NULL;
}

/* Whether who writes to a descriptor waits for it. That is who reads from where its reader writes to. */
static int is_awaited(const engine_object *engine, int descriptor) {
    const flow_object *writer = reader_of(engine, engine->readers[descriptor]->sink);
    return writer == NULL || writer->awaits == SINK;
}

static found make_turns(engine_object *engine, module_state *module, int may_read, double until) {
    while (engine->next < engine->fetched) {
        struct epoll_event *event = &engine->events[engine->next];
        const int descriptor = event->data.fd;
        flow_object *reader = reader_of(engine, descriptor);
        const found told = {.descriptor = descriptor, .events = event->events};
        if (descriptor < 0) {
            engine->next++;
            continue;
        }
        if (reader == NULL || event->events & ~(uint32_t)(EPOLLIN | EPOLLOUT) ||
            (event->events & EPOLLIN && !(may_read && is_ordinary(engine, reader)))) {
            engine->next++;
            return told;
        }
        if (event->events & EPOLLIN) {
            event->events &= ~(uint32_t)EPOLLIN;
            if (!make_turn(engine, module, reader)) {
                engine->next += !event->events;
                return (found){.flow = reader};
            }
        }
        engine->next++;
        if (event->events & EPOLLOUT && is_awaited(engine, descriptor))
            return (found){.descriptor = descriptor, .events = EPOLLOUT};
        if (now() >= until)
            break;
    }
    return (found){.descriptor = -1};
}

/* Tell the flows that keep more or less than before, which have it booked. Whoever is told first may close another. */
static void tell_of_changes(engine_object *engine, module_state *module) {
    const int changes = engine->changes;
    engine->changes = 0;
    for (int i = 0; i < changes; i++)
        Py_INCREF((PyObject *)engine->changed[i]);
    for (int i = 0; i < changes; i++) {
        PyObject *flow = (PyObject *)engine->changed[i];
        PyObject *done = PyObject_CallMethodObjArgs(flow, module->kept_changed, NULL);
        if (done == NULL)
            PyErr_WriteUnraisable(flow);
        Py_XDECREF(done);
        Py_DECREF(flow);
    }
}

/* take(until) */
static PyObject *engine_take(PyObject *self, PyTypeObject *type, PyObject *const *arguments, Py_ssize_t given,
                             PyObject *keywords) {
    engine_object *engine = (engine_object *)self;
    module_state *module = PyType_GetModuleState(type);
    (void)keywords;
    if (given != 1) {
        PyErr_SetString(PyExc_TypeError, "until when");
        return NULL;
    }
    const double until = PyFloat_AsDouble(arguments[0]);
    if (until == -1.0 && PyErr_Occurred())
        return NULL;
    PyObject *attribute = PyObject_GetAttr(engine->memory, module->under_pressure);
    const int is_scarce = attribute == NULL ? -1 : PyObject_IsTrue(attribute);
    Py_XDECREF(attribute);
    if (is_scarce < 0)
        return NULL;
    module->begun.flow = NULL;
    found who;
    Py_BEGIN_ALLOW_THREADS
    who = make_turns(engine, module, !is_scarce, until);
    Py_END_ALLOW_THREADS
    const int was_read = who.flow == NULL && reader_of(engine, who.descriptor) != NULL;
    Py_XINCREF((PyObject *)who.flow);
    tell_of_changes(engine, module);
    if (who.flow != NULL)
        return (PyObject *)who.flow;
    if (who.descriptor < 0 || (was_read && reader_of(engine, who.descriptor) == NULL))
        Py_RETURN_NONE;
    return Py_BuildValue("(iI)", who.descriptor, (unsigned int)who.events);
}

static PyMemberDef engine_members[] = {
    {NULL, 0, 0, 0, NULL},
};

#define OF_CLASS (METH_METHOD | METH_FASTCALL | METH_KEYWORDS)

static PyMethodDef engine_methods[] = {
    {"fetch", engine_fetch, METH_NOARGS, NULL},
    {"take", (PyCFunction)(void (*)(void))engine_take, OF_CLASS, NULL},
    {"enter", (PyCFunction)(void (*)(void))engine_enter, OF_CLASS, NULL},
    {"leave", engine_leave, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot engine_slots[] = {
    {Py_tp_doc, "A queue of ready descriptors that makes ordinary turns: see ready.Ready."},
    {Py_tp_new, engine_new},
    {Py_tp_traverse, engine_traverse},
    {Py_tp_clear, engine_clear},
    {Py_tp_dealloc, engine_dealloc},
    {Py_tp_members, engine_members},
    {Py_tp_methods, engine_methods},
    {Py_sq_length, engine_len},
    {0, NULL},
};

static PyType_Spec engine_spec = {
    .name = "curveproxy.proxy.relay._engine.Engine",
    .basicsize = sizeof(engine_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = engine_slots,
};

/* --- the module */

/* setup(api): the capsule _codec.api. */
static PyObject *setup(PyObject *self, PyObject *capsule) {
    module_state *module = PyModule_GetState(self);
    const codec_api *api = PyCapsule_GetPointer(capsule, CODEC_API);
    if (api == NULL)
        return NULL;
    if (api->size != sizeof *api) {
        PyErr_SetString(PyExc_ValueError, "a codec of this version");
        return NULL;
    }
    PyTypeObject *old = module->state_type;
    module->state_type = (PyTypeObject *)Py_NewRef((PyObject *)api->state_type); /* which keeps its module */
    module->api = api;
    Py_XDECREF((PyObject *)old);
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    {"setup", setup, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static int module_exec(PyObject *self) {
    module_state *module = PyModule_GetState(self);
    module->under_pressure = PyUnicode_InternFromString("under_pressure");
    module->kept_changed = PyUnicode_InternFromString("kept_changed");
    module->flow_type = (PyTypeObject *)PyType_FromModuleAndSpec(self, &flow_spec, NULL);
    module->engine_type = (PyTypeObject *)PyType_FromModuleAndSpec(self, &engine_spec, NULL);
    if (module->under_pressure == NULL || module->kept_changed == NULL || module->flow_type == NULL ||
        module->engine_type == NULL)
        return -1;
    return PyModule_AddType(self, module->flow_type) < 0 ? -1 : PyModule_AddType(self, module->engine_type);
}

static int module_traverse(PyObject *self, visitproc visit, void *arg) {
    const module_state *module = PyModule_GetState(self);
    Py_VISIT(module->flow_type);
    Py_VISIT(module->engine_type);
    Py_VISIT(module->state_type);
    return 0;
}

static int module_clear(PyObject *self) {
    module_state *module = PyModule_GetState(self);
    Py_CLEAR(module->flow_type);
    Py_CLEAR(module->engine_type);
    Py_CLEAR(module->state_type);
    Py_CLEAR(module->under_pressure);
    Py_CLEAR(module->kept_changed);
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
    .m_name = "_engine",
    .m_size = sizeof(module_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__engine(void) {
    return PyModuleDef_Init(&module_definition);
}
