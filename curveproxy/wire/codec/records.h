/* The loops over records, without Python and without sockets: the same as records.py and stream.py, the definition.
 *
 * They have no crypto of their own: a batch names the functions of libsodium. Nothing outside of source[start:end] is
 * read. Nothing is written but target[at:] and, when sealing, source[start:end] where a frame's header is written anew.
 *
 * # record: header[2] Box [plain[n]]    header: REKEY 8000, n - 1; the box is longer by 16 (suite 1) or 32 (suite 2)
 * # padded: plain is content[m] zeros[n - 2 - m] m[2]
 * # nonce, suite 1: "curveproxy-rec"[14] header[2] counter[8]
 * # nonce, suite 2: "curveproxy-rec"[14] zeros[10] counter[8], and the header is the associated data
 */

#ifndef CURVEPROXY_CODEC_RECORDS_H
#define CURVEPROXY_CODEC_RECORDS_H

#include "boxes.h"
#include "stream.h"

/* The numbers of suites.Suite. */
enum { XSALSA20_POLY1305 = 1, AEGIS_256 };

enum {
    RECORD_HEADER = 2,
    REKEY = 0x8000,
    RECORD_MAX = 0x8000,
    XSALSA_TAG = MAC_SIZE,
    AEGIS_TAG = 32,
    XSALSA_NONCE = 24,
    AEGIS_NONCE = 32,
    PAD_SIZE = 2,
    RECORDS_A_KEY = 1 << 20,
    RECORD_WEIGHT = 16, /* record_state.RECORD_WEIGHT */
    GROWTH = 32,        /* records.py says what these two are for */
    HEADER_GROWTH = 16
};

static const uint8_t RECORD_NONCE[] = {'c', 'u', 'r', 'v', 'e', 'p', 'r', 'o', 'x', 'y', '-', 'r', 'e', 'c'};
static const uint8_t STEP[] = {'s', 't', 'e', 'p'};
static const uint8_t PERSON[] = {'c', 'u', 'r', 'v', 'e', 'p', 'r', 'o', 'x', 'y', '-', 'r', 'e', 'c', '-', '1'};
static const uint8_t NO_SALT[16] = {0};

/* One call: what it works on, and how far it has come.
 *
 * rest: what was opened before and has not gone on. When there is another one now, it stands at target[rest_at:rest_end].
 */
typedef struct {
    const codec_crypto *crypto;
    uint8_t *source, *target;
    size_t start, end, at, capacity;
    uint64_t messages, octets;
    const uint8_t *rest;
    size_t rest_size, rest_at, rest_end;
    int has_new_rest;
} record_batch;

/* Go to the next key, and write over this one. */
static void record_step(record_state *s, const codec_crypto *crypto) {
    uint8_t following[2 * KEY_SIZE];
    crypto->hash(following, sizeof following, STEP, sizeof STEP, s->chain, KEY_SIZE, NO_SALT, PERSON);
    memcpy(s->key, following, KEY_SIZE);
    memcpy(s->chain, following + KEY_SIZE, KEY_SIZE);
    wipe(following, sizeof following);
    s->since_step = 0;
}

static inline size_t tag_size(const record_state *s) {
    return s->suite == XSALSA20_POLY1305 ? XSALSA_TAG : AEGIS_TAG;
}

static inline size_t least(size_t left, size_t right) {
    return left < right ? left : right;
}

static void write_nonce(const record_state *s, const uint8_t *header, uint8_t nonce[AEGIS_NONCE]) {
    memset(nonce, 0, AEGIS_NONCE);
    memcpy(nonce, RECORD_NONCE, sizeof RECORD_NONCE);
    if (s->suite == XSALSA20_POLY1305)
        memcpy(nonce + sizeof RECORD_NONCE, header, RECORD_HEADER);
    write_64(nonce + (s->suite == XSALSA20_POLY1305 ? XSALSA_NONCE : AEGIS_NONCE) - 8, s->counter);
}

/* A record has been sealed or opened. */
static void count_record(record_state *s, const record_batch *b, unsigned header) {
    s->counter++;
    if (header & REKEY)
        record_step(s, b->crypto);
    else
        s->since_step++;
}

static void seal_one(record_state *s, const record_batch *b, uint8_t *to, const uint8_t *plain, size_t size,
                     unsigned flags) {
    const unsigned header = flags | (unsigned)(size - 1);
    uint8_t nonce[AEGIS_NONCE];
    to[0] = (uint8_t)(header >> 8);
    to[1] = (uint8_t)header;
    write_nonce(s, to, nonce);
    if (s->suite == XSALSA20_POLY1305) {
        uint8_t subkey[KEY_SIZE]; /* of this record alone: its header is in the nonce's prefix */
        derive_subkey(b->crypto, subkey, nonce, s->key);
        seal_box(b->crypto, to + RECORD_HEADER, plain, size, nonce, subkey);
        wipe(subkey, sizeof subkey);
    } else {
        b->crypto->seal_aegis(to + RECORD_HEADER, NULL, plain, size, to, RECORD_HEADER, NULL, nonce, s->key);
    }
    count_record(s, b, header);
}

/* Open one record into target[at:]. Returns whether it is one, and the size of what was in it in *content. Nothing is
 * changed where it is none. */
static int open_one(record_state *s, const record_batch *b, unsigned header, size_t size, size_t at, size_t *content) {
    const uint8_t *record = b->source + b->start, *box = record + RECORD_HEADER;
    uint8_t *to = b->target + at, nonce[AEGIS_NONCE];
    if (!(header & REKEY) && s->since_step >= RECORDS_A_KEY - 1)
        return 0;
    write_nonce(s, record, nonce);
    int failed;
    if (s->suite == XSALSA20_POLY1305) {
        uint8_t subkey[KEY_SIZE];
        derive_subkey(b->crypto, subkey, nonce, s->key);
        failed = open_box(b->crypto, to, box, size + XSALSA_TAG, nonce, subkey);
        wipe(subkey, sizeof subkey);
    } else {
        failed = b->crypto->open_aegis(to, NULL, NULL, box, size + AEGIS_TAG, record, RECORD_HEADER, nonce, s->key);
    }
    if (failed)
        return 0;
    *content = size;
    if (s->pad_to) {
        if (size < PAD_SIZE)
            return 0;
        *content = (size_t)to[size - 2] << 8 | to[size - 1];
        if (*content > size - PAD_SIZE)
            return 0;
    }
    count_record(s, b, header);
    return 1;
}

/* How many octets of plain stream surely fit into so much of a target. */
static size_t room_for(const record_state *s, size_t room) {
    const size_t around = RECORD_HEADER + tag_size(s), whole = RECORD_MAX + around;
    size_t most = room / whole * (s->pad_to ? RECORD_MAX - PAD_SIZE : RECORD_MAX), last = room % whole;
    last = last > around ? last - around : 0;
    if (s->pad_to) {
        last = last / s->pad_to * s->pad_to;
        last = last > PAD_SIZE ? last - PAD_SIZE : 0;
    }
    return most + last;
}

/* Seal source[start:end] at target[at:], which has room for it. */
static void seal_all(record_state *s, record_batch *b, size_t start, size_t end) {
    uint8_t padded[RECORD_MAX]; /* libsodium does not promise to seal AEGIS where the two overlap */
    while (start < end) {
        size_t size = least(end - start, s->pad_to ? RECORD_MAX - PAD_SIZE : RECORD_MAX);
        const uint8_t *plain = b->source + start;
        start += size;
        if (s->pad_to) {
            const size_t content = size;
            size += PAD_SIZE;
            size = least(RECORD_MAX, (size + s->pad_to - 1) / s->pad_to * s->pad_to);
            memcpy(padded, plain, content);
            memset(padded + content, 0, size - content - PAD_SIZE);
            padded[size - 2] = (uint8_t)(content >> 8);
            padded[size - 1] = (uint8_t)content;
            plain = padded;
        }
        seal_one(s, b, b->target + b->at, plain, size, start == end ? REKEY : 0);
        b->at += RECORD_HEADER + size + tag_size(s);
    }
}

static codec_stop records_seal(record_state *s, record_batch *b) {
    const size_t start = b->start, room = room_for(s, b->capacity - b->at);
    const size_t reach = start + least(room, b->end - start);
    record_scan scan = {
        .data = b->source,
        .read = start,
        .write = start,
        .frames = s->batch,
        .v1_in = s->dialect == V1,
    };
    codec_stop stop = advance(s, &scan, reach);
    seal_all(s, b, start, scan.write);
    b->start = scan.read;
    b->messages = scan.messages;
    b->octets = scan.octets;
    return stop == INCOMPLETE && reach < b->end ? FULL : stop;
}

/* Without a scan: what we put in ourselves. */
static codec_stop records_seal_octets(record_state *s, record_batch *b) {
    if (b->end - b->start > room_for(s, b->capacity - b->at))
        return FULL;
    seal_all(s, b, b->start, b->end);
    b->start = b->end;
    return INCOMPLETE;
}

static codec_stop records_open(record_state *s, record_batch *b) {
    const int v1 = s->dialect == V1;
    const size_t tag = tag_size(s), ahead = v1 ? (b->end - b->start + b->rest_size) / GROWTH + HEADER_GROWTH : 0;
    if (ahead + b->rest_size > b->capacity - b->at)
        return FULL;
    record_scan scan = {
        .data = b->target,
        .read = b->at + ahead,
        .write = b->at,
        .frames = s->batch,
        .v1_out = v1,
        .opened = 1,
    };
    size_t opened = scan.read + b->rest_size, content;
    if (b->rest_size)
        memcpy(b->target + scan.read, b->rest, b->rest_size);
    codec_stop stop = advance(s, &scan, opened);
    while (stop == INCOMPLETE && b->end - b->start >= RECORD_HEADER) {
        const uint8_t *record = b->source + b->start;
        const unsigned header = (unsigned)record[0] << 8 | record[1];
        const size_t size = (header & ~(unsigned)REKEY) + 1, whole = RECORD_HEADER + size + tag;
        if (whole > b->end - b->start)
            break;
        if (size > b->capacity - opened || !scan.frames) {
            stop = FULL;
            break;
        }
        if (!open_one(s, b, header, size, opened, &content)) {
            stop = RECORD;
            break;
        }
        b->start += whole;
        opened += content;
        scan.frames = scan.frames > RECORD_WEIGHT ? scan.frames - RECORD_WEIGHT : 0;
        stop = advance(s, &scan, opened);
    }
    b->at = scan.write;
    b->messages = scan.messages;
    b->octets = scan.octets;
    b->rest_at = scan.read;
    b->rest_end = opened;
    b->has_new_rest = b->rest_size || opened != scan.read;
    return stop;
}

#endif
