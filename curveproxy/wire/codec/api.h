/* What other extensions use of this one, handed to them in the capsule _codec.api: a batch of frames, without Python. */

#ifndef CURVEPROXY_CODEC_API_H
#define CURVEPROXY_CODEC_API_H

#include "wire.h"

#define CODEC_API "curveproxy.wire.codec._codec.api"

/* One batch: source[:end] is to be turned into target[:capacity]; and what it became, as in state.Batch. frames: how
 * many were turned. wanted: the size of the frame that is not whole, 0 where there is none or its header is not. */
typedef struct {
    uint8_t *source, *target;
    size_t end, capacity;
    size_t start, at;
    uint64_t messages, octets, frames, wanted;
    codec_stop stop;
} codec_work;

/* size: of this structure, by which an extension of another version is known. */
typedef struct codec_api {
    size_t size;
    const void *module;
    PyTypeObject *state_type;
    /* Open frames or seal them, by a state of state_type. Needs no GIL, but that nobody else uses the state. */
    void (*work)(const struct codec_api *api, PyObject *state, int opens, codec_work *work);
    /* A state.Batch. */
    PyObject *(*result)(const struct codec_api *api, const codec_work *work);
} codec_api;

#endif
