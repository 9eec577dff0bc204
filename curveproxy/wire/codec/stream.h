/* The scan of a plain stream of frames, as in stream.py: how far it is in order, which is how far it may go on. */

#ifndef CURVEPROXY_CODEC_STREAM_H
#define CURVEPROXY_CODEC_STREAM_H

#include "wire.h"

enum { STREAM_COMMAND_MAX = 4096 + 256 };

/* One direction of a session; the members are those of record_state.RecordState. */
typedef struct {
    uint8_t key[KEY_SIZE], chain[KEY_SIZE];
    uint64_t counter, limit, held, body_left;
    size_t command_at, command_size;
    uint32_t batch, since_step;
    uint16_t pad_to;
    uint8_t suite, dialect, more;
} record_state;

/* One scan. Nothing is moved while read and write are the same. frames: how many it may look at yet. */
typedef struct {
    uint8_t *data;
    size_t read, write;
    uint64_t messages, octets;
    uint32_t frames;
    int v1_in, v1_out, opened;
} record_scan;

/* What becomes of a command of this size, of whose body so many octets have come. */
static codec_stop judge_command(record_state *s, size_t body, uint64_t size, size_t have) {
    if (size > STREAM_COMMAND_MAX) {
        s->command_at = body;
        s->command_size = 0;
        return STOP_COMMAND;
    }
    if (size > s->limit)
        return TOO_LARGE;
    if (size > have)
        return INCOMPLETE;
    s->command_at = body;
    s->command_size = (size_t)size;
    return STOP_COMMAND;
}

/* Read the header at data[read:end], as the source of the stream writes it. Its size goes to *header: 0 while it is not
 * whole. Returns FRAMING where there can be no such header, else INCOMPLETE. */
static codec_stop read_header(const record_scan *scan, size_t end, size_t *header, uint64_t *size, uint8_t *flags) {
    const uint8_t *frame = scan->data + scan->read;
    const size_t have = end - scan->read;
    const int v1 = scan->v1_in, is_long = v1 ? frame[0] == V1_LONG : frame[0] & LONG;
    *header = !is_long ? SHORT_HEADER : v1 ? V1_LONG_HEADER : LONG_HEADER;
    *flags = frame[0] & ~LONG;
    if (!v1 && *flags & ~MORE && *flags != COMMAND)
        return FRAMING;
    if (have < *header) {
        *header = 0;
        return INCOMPLETE;
    }
    *size = is_long ? read_64(frame + 1) : frame[!v1];
    if (v1) { /* its size counts the flags, which stand last; a size of 0 becomes the largest there is */
        *size -= 1;
        *flags = frame[*header - 1] & MORE;
    }
    return *size > FRAME_MAX || (scan->opened && is_long && *size <= SHORT_MAX) ? FRAMING : INCOMPLETE;
}

/* Go on as far as the stream is in order, and has come: data[read:end]. */
static codec_stop advance(record_state *s, record_scan *scan, size_t end) {
    uint64_t left = s->body_left, held = s->held;
    uint8_t more = s->more;
    codec_stop stop = INCOMPLETE;
    for (;;) {
        if (left) {
            size_t step = left < end - scan->read ? (size_t)left : end - scan->read;
            if (scan->read != scan->write)
                memmove(scan->data + scan->write, scan->data + scan->read, step);
            scan->read += step;
            scan->write += step;
            scan->octets += step;
            left -= step;
            if (left)
                break;
            if (!more) {
                scan->messages++;
                held = 0;
            }
        }
        if (end - scan->read < SHORT_HEADER)
            break;
        if (!scan->frames) {
            stop = FULL;
            break;
        }
        size_t header;
        uint64_t size;
        uint8_t flags;
        stop = read_header(scan, end, &header, &size, &flags);
        if (stop != INCOMPLETE || !header)
            break;
        const size_t body = scan->read + header;
        if (flags & COMMAND) {
            stop = judge_command(s, body, size, end - body);
            if (stop == STOP_COMMAND && scan->opened && size <= STREAM_COMMAND_MAX)
                scan->read = body + (size_t)size;
            break;
        }
        size_t behind = scan->v1_out ? (size <= V1_SHORT_MAX ? SHORT_HEADER : V1_LONG_HEADER)
                                     : (size <= SHORT_MAX ? SHORT_HEADER : LONG_HEADER);
        size_t plain = scan->opened ? behind : header;
        if (!fits(s->limit, held, plain, size)) {
            stop = TOO_LARGE;
            break;
        }
        more = flags & MORE;
        if (scan->read != scan->write || scan->v1_in || scan->v1_out || header != behind)
            write_plain_header(scan->v1_out, scan->data + scan->write, behind, size, more);
        scan->read = body;
        scan->write += behind;
        scan->frames--;
        if (size || more) {
            held += plain + size;
            left = size;
        } else {
            scan->messages++;
            held = 0;
        }
    }
    s->body_left = left;
    s->held = held;
    s->more = more;
    return stop;
}

#endif
