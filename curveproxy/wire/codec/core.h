/* The codec's two loops, without Python and without sockets: the same as python.py, which is the definition.
 *
 * They open and seal boxes straight from one buffer into the other. Nothing outside of source[start:end] is read.
 * Nothing is written but target[at:] and, when sealing, the last octet of each frame's header in the source. Source and
 * target may be one memory for one frame with long headers, if its data lies at the same place in both of its forms.
 *
 * This file, boxes.h and wire.h keep nothing and know of no module. Another extension uses all of it through api.h.
 *
 * # MESSAGE, 33 + n octets: name[8] nonce[8] Box [flags[1] + data[n]]
 */

#ifndef CURVEPROXY_CODEC_CORE_H
#define CURVEPROXY_CODEC_CORE_H

#include "boxes.h"

static const uint8_t MESSAGE_NAME[NAME_SIZE] = {7, 'M', 'E', 'S', 'S', 'A', 'G', 'E'};

/* How the nonces of a client's MESSAGEs begin, and those of a server's. */
static const uint8_t PREFIXES[2][NONCE_PREFIX + 1] = {"CurveZMQMESSAGEC", "CurveZMQMESSAGES"};

/* One direction of a session but its key; the members are those of state.CodecState. */
typedef struct {
    uint64_t nonce, limit, held;
    size_t command_at, command_size;
    uint32_t batch;
    uint8_t from_server, dialect, little_endian, discarding;
} codec_state;

/* One call: what it works on, and how far it has come. subkey: of derive_subkey(), for the state's prefix. */
typedef struct {
    const codec_crypto *crypto;
    const uint8_t *subkey;
    uint8_t *source, *target;
    size_t start, end, at, capacity;
    uint64_t messages, octets;
} codec_batch;

static uint64_t reversed(uint64_t value) {
    uint64_t result = 0;
    for (int i = 0; i < 8; i++, value >>= 8)
        result = result << 8 | (value & 0xFF);
    return result;
}

/* Count a part that has been opened or sealed: its octets with and without the plain frame's header. */
static void count(codec_state *state, codec_batch *b, uint64_t weight, uint64_t size, int more) {
    b->octets += size;
    if (more) {
        state->held += weight;
    } else {
        state->held = 0;
        b->messages++;
    }
}

static codec_stop codec_open(codec_state *state, codec_batch *b) {
    const int v1 = state->dialect == V1;
    const uint64_t short_max = v1 ? V1_SHORT_MAX : SHORT_MAX;
    uint8_t box_nonce[NONCE_SIZE];
    memcpy(box_nonce, PREFIXES[state->from_server], NONCE_PREFIX);
    for (uint32_t frames = state->batch; b->end - b->start >= SHORT_HEADER; frames--) {
        if (!frames)
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
        size_t header = plain <= short_max ? SHORT_HEADER : v1 ? V1_LONG_HEADER : LONG_HEADER;
        if (!fits(state->limit, state->held, header, plain))
            return size > FRAME_MAX ? FRAMING : TOO_LARGE;
        if (size > left - outer)
            return INCOMPLETE;
        const uint8_t *message = frame + outer, *nonce = message + NAME_SIZE;
        if (memcmp(message, MESSAGE_NAME, NAME_SIZE))
            return NOT_MESSAGE;
        uint64_t next = state->nonce + 1; /* 0 behind the last nonce, which no frame may follow */
        if (!next || read_64(nonce) != (state->little_endian ? reversed(next) : next))
            return NONCE;
        if (header + plain > b->capacity - b->at)
            return FULL;
        uint8_t *out = b->target + b->at, *inner = out + header - 1;
        memcpy(box_nonce + NONCE_PREFIX, nonce, SHORT_NONCE);
        if (open_box(b->crypto, inner, message + BOX_AT, size - BOX_AT, box_nonce, b->subkey))
            return BOX;
        if (frame[0] & MORE && (*inner & (INNER_MORE | INNER_COMMAND)) != INNER_MORE)
            return OUTER_MORE;
        b->start += outer + size;
        state->nonce = next;
        if (*inner & INNER_COMMAND) {
            state->command_at = b->at + header;
            state->command_size = plain;
            return STOP_COMMAND;
        }
        uint8_t more = *inner & INNER_MORE;
        if (state->discarding) {
            state->discarding = more;
            continue;
        }
        write_plain_header(v1, out, header, plain, more);
        b->at += header + plain;
        count(state, b, header + plain, plain, more);
    }
    return INCOMPLETE;
}

/* Open the one frame that is source[start:end] into target[at:]: the flags in its box, then data. Returns 0, and has
 * done nothing, where it is too short for a MESSAGE, or its box too long for the target. Else *octets is how many its
 * box held: 0 where it is no MESSAGE, or does not open with the nonce that it names. */
static inline int codec_open_single(const codec_state *state, const codec_batch *b, uint64_t *nonce, size_t *octets) {
    const uint8_t *frame = b->source + b->start;
    const size_t size = b->end - b->start, header = size && frame[0] & LONG ? LONG_HEADER : SHORT_HEADER;
    if (size < header + OVERHEAD || size - header - BOX_AT > b->capacity - b->at)
        return 0;
    const uint8_t *message = frame + header;
    uint8_t box_nonce[NONCE_SIZE];
    memcpy(box_nonce, PREFIXES[state->from_server], NONCE_PREFIX);
    memcpy(box_nonce + NONCE_PREFIX, message + NAME_SIZE, SHORT_NONCE);
    *nonce = read_64(message + NAME_SIZE);
    if (state->little_endian)
        *nonce = reversed(*nonce);
    *octets = 0;
    if (!memcmp(message, MESSAGE_NAME, NAME_SIZE) &&
        !open_box(b->crypto, b->target + b->at, message + BOX_AT, size - header - BOX_AT, box_nonce, b->subkey))
        *octets = size - header - BOX_AT - MAC_SIZE;
    return 1;
}

/* The size of the header before a MESSAGE of so many octets. */
static inline size_t codec_outer_header(uint64_t sealed) {
    return sealed <= SHORT_MAX ? SHORT_HEADER : LONG_HEADER;
}

/* Seal a body, with its flags before it, as a MESSAGE with its header. */
static inline void codec_seal_message(codec_state *state, const codec_crypto *crypto, const uint8_t *subkey,
                                      uint8_t *out, const uint8_t *inner, uint64_t size) {
    const uint64_t sealed = size + OVERHEAD;
    uint8_t *message = out + codec_outer_header(sealed), box_nonce[NONCE_SIZE];
    if (sealed <= SHORT_MAX) {
        out[0] = 0;
        out[1] = (uint8_t)sealed;
    } else {
        out[0] = LONG;
        write_64(out + 1, sealed);
    }
    memcpy(message, MESSAGE_NAME, NAME_SIZE);
    write_64(message + NAME_SIZE, ++state->nonce);
    memcpy(box_nonce, PREFIXES[state->from_server], NONCE_PREFIX);
    memcpy(box_nonce + NONCE_PREFIX, message + NAME_SIZE, SHORT_NONCE);
    seal_box(crypto, message + BOX_AT, inner, size + 1, box_nonce, subkey);
}

static codec_stop codec_seal(codec_state *state, codec_batch *b) {
    const int v1 = state->dialect == V1;
    for (uint32_t frames = state->batch; b->end - b->start >= SHORT_HEADER; frames--) {
        if (!frames)
            return FULL;
        uint8_t *frame = b->source + b->start, flags = frame[0];
        size_t left = b->end - b->start, header = SHORT_HEADER;
        int is_long = v1 ? flags == V1_LONG : flags & LONG;
        if (is_long)
            header = v1 ? V1_LONG_HEADER : LONG_HEADER;
        if (left < header)
            return INCOMPLETE;
        uint64_t size;
        if (v1) { /* its size counts the flags, which stand last; a size of 0 becomes the largest there is */
            size = (is_long ? read_64(frame + 1) : flags) - 1;
            flags = frame[header - 1] & MORE;
        } else {
            size = is_long ? read_64(frame + 1) : frame[1];
            if (flags & ~(MORE | LONG) && (flags & ~LONG) != COMMAND)
                return FRAMING;
        }
        if (size > FRAME_MAX)
            return FRAMING;
        if (!fits(state->limit, state->held, header, size))
            return TOO_LARGE;
        if (size > left - header)
            return INCOMPLETE;
        if (flags & COMMAND)
            return STOP_COMMAND;
        uint64_t sealed = size + OVERHEAD;
        size_t outer = codec_outer_header(sealed);
        if (outer + sealed > b->capacity - b->at)
            return FULL;
        uint8_t *inner = frame + header - 1;
        *inner = flags & MORE;
        codec_seal_message(state, b->crypto, b->subkey, b->target + b->at, inner, size);
        b->at += outer + sealed;
        b->start += header + size;
        count(state, b, header + size, size, flags & MORE);
    }
    return INCOMPLETE;
}

#endif
