/* XSalsa20-Poly1305 in parts, for what is small and comes often.
 *
 * A box is crypto_secretbox_xsalsa20poly1305 of NaCl ("Cryptography in NaCl", sections 7 to 9): HSalsa20 of the key
 * and of a nonce's first 16 octets is a subkey. Salsa20 under that and the nonce's last 8 is a key stream, of which the
 * first 32 octets are the key of Poly1305, and those behind them go over the text. Nothing here is a cipher: libsodium
 * computes each part, and a box is octet by octet that of its crypto_box_easy_afternm. But
 *
 * - those 16 octets are the same for all MESSAGEs of a direction, which so has one subkey. To derive it anew is a fifth
 *   of a small box;
 * - libsodium is fast at strides of 256 and of 512 octets of key stream: each costs less than two blocks of 64 do one
 *   by one. So whole strides are computed where less would do, and what is behind the text in them is never used.
 *
 * Where PyNaCl does not let us have the parts, its functions for whole boxes are called; a subkey is the key itself.
 */

#ifndef CURVEPROXY_CODEC_BOXES_H
#define CURVEPROXY_CODEC_BOXES_H

#include "wire.h"

enum { MAC_SIZE = 16, POLY_KEY = 32, BLOCK = 64, FEW = 256, MANY = 512, HEAD = MANY - POLY_KEY };

/* The beginning of a key stream: the key of the MAC, and then what is over the text. */
typedef struct {
    uint8_t poly_key[POLY_KEY], text[HEAD];
} box_head;

static inline int has_parts(const codec_crypto *crypto) {
    return crypto->hsalsa20 != NULL;
}

/* The subkey for all nonces that begin with this prefix. */
static inline void derive_subkey(const codec_crypto *crypto, uint8_t subkey[KEY_SIZE], const uint8_t *prefix,
                                 const uint8_t *key) {
    if (has_parts(crypto))
        crypto->hsalsa20(subkey, prefix, key, NULL);
    else
        memcpy(subkey, key, KEY_SIZE);
}

/* Put the key stream over so many octets, from a block of it on. Whole strides of them are written. */
static inline void cross_strides(const codec_crypto *crypto, uint8_t *octets, size_t size, uint64_t block,
                                 const uint8_t *nonce, const uint8_t *subkey) {
    const size_t whole = size <= BLOCK ? BLOCK : size <= FEW ? FEW : MANY;
    memset(octets + size, 0, whole - size);
    crypto->salsa20(octets, octets, whole, nonce + NONCE_PREFIX, block, subkey);
}

/* The key of the MAC, and the first octets of a text, crossed. Returns how many of them there are. */
static inline size_t begin_box(const codec_crypto *crypto, box_head *head, const uint8_t *text, size_t size,
                               const uint8_t *nonce, const uint8_t *subkey) {
    const size_t first = size < HEAD ? size : HEAD;
    memset(head->poly_key, 0, POLY_KEY);
    memcpy(head->text, text, first);
    cross_strides(crypto, (uint8_t *)head, POLY_KEY + first, 0, nonce, subkey);
    return first;
}

/* The text behind its first HEAD octets: straight from one place to the other, but for the last part of a stride. */
static inline void finish_box(const codec_crypto *crypto, uint8_t *to, const uint8_t *from, size_t size,
                              const uint8_t *nonce, const uint8_t *subkey) {
    size_t tail = size % MANY;
    if (tail <= 2 * BLOCK)
        tail = 0;
    const size_t bulk = size - tail;
    if (bulk)
        crypto->salsa20(to, from, bulk, nonce + NONCE_PREFIX, MANY / BLOCK, subkey);
    if (tail) {
        uint8_t stride[MANY];
        memcpy(stride, from + bulk, tail);
        cross_strides(crypto, stride, tail, (MANY + bulk) / BLOCK, nonce, subkey);
        memcpy(to + bulk, stride, tail);
        wipe(stride, sizeof stride);
    }
}

/* Seal so many octets as a box, which is MAC_SIZE longer. nonce: all of its 24 octets. Both may be in one place, with
 * the text of the box over the plain one; else they do not overlap. */
static inline void seal_box(const codec_crypto *crypto, uint8_t *box, const uint8_t *plain, size_t size,
                            const uint8_t *nonce, const uint8_t *subkey) {
    if (!has_parts(crypto)) {
        crypto->seal(box, plain, size, nonce, subkey);
        return;
    }
    box_head head;
    uint8_t *text = box + MAC_SIZE;
    const size_t first = begin_box(crypto, &head, plain, size, nonce, subkey);
    memcpy(text, head.text, first);
    if (size > first)
        finish_box(crypto, text + first, plain + first, size - first, nonce, subkey);
    crypto->poly1305(box, text, size, head.poly_key);
    wipe(&head, sizeof head);
}

/* Open a box of so many octets. Returns 0 when it worked; until then nothing is written. Else as seal_box. */
static inline int open_box(const codec_crypto *crypto, uint8_t *plain, const uint8_t *box, size_t size,
                           const uint8_t *nonce, const uint8_t *subkey) {
    if (!has_parts(crypto))
        return crypto->open(plain, box, size, nonce, subkey);
    box_head head;
    const uint8_t *text = box + MAC_SIZE;
    size -= MAC_SIZE;
    const size_t first = begin_box(crypto, &head, text, size, nonce, subkey);
    const int failed = crypto->poly1305_verify(box, text, size, head.poly_key);
    if (!failed) {
        memcpy(plain, head.text, first);
        if (size > first)
            finish_box(crypto, plain + first, text + first, size - first, nonce, subkey);
    }
    wipe(&head, sizeof head);
    return failed;
}

#endif
