/* What both kinds of loops need, without Python: numbers and headers of the wire, and the functions of libsodium. */

#ifndef CURVEPROXY_CODEC_WIRE_H
#define CURVEPROXY_CODEC_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Flags of a frame, and those inside of a box. */
enum { MORE = 1, LONG = 2, COMMAND = 4, INNER_MORE = 1, INNER_COMMAND = 2 };

/* The numbers of state.Stop. */
typedef enum {
    INCOMPLETE, FULL, STOP_COMMAND, FRAMING, OUTER_MORE, TOO_SHORT, TOO_LARGE, NOT_MESSAGE, NONCE, BOX, RECORD,
    STOPS
} codec_stop;

/* The numbers of zmtp.frame.Dialect. */
enum { V1 = 1, V2, V3 };

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

/* crypto_box_open_easy_afternm or crypto_box_easy_afternm; 0 when it worked. */
typedef int codec_box(uint8_t *to, const uint8_t *from, unsigned long long size, const uint8_t *nonce,
                      const uint8_t *key);

/* crypto_aead_aegis256_encrypt, crypto_aead_aegis256_decrypt, crypto_generichash_blake2b_salt_personal */
typedef int codec_aead_seal(uint8_t *to, unsigned long long *to_size, const uint8_t *from, unsigned long long size,
                        const uint8_t *header, unsigned long long header_size, const uint8_t *unused,
                        const uint8_t *nonce, const uint8_t *key);
typedef int codec_aead_open(uint8_t *to, unsigned long long *to_size, uint8_t *unused, const uint8_t *from,
                        unsigned long long size, const uint8_t *header, unsigned long long header_size,
                        const uint8_t *nonce, const uint8_t *key);
typedef int codec_hash(uint8_t *to, size_t to_size, const uint8_t *from, unsigned long long size, const uint8_t *key,
                        size_t key_size, const uint8_t *salt, const uint8_t *person);

/* crypto_core_hsalsa20, crypto_stream_salsa20_xor_ic, crypto_onetimeauth_poly1305 and its _verify */
typedef int codec_subkey(uint8_t *to, const uint8_t *prefix, const uint8_t *key, const uint8_t *constant);
typedef int codec_stream(uint8_t *to, const uint8_t *from, unsigned long long size, const uint8_t *nonce,
                         uint64_t block, const uint8_t *key);
typedef int codec_mac(uint8_t *mac, const uint8_t *text, unsigned long long size, const uint8_t *key);
typedef int codec_mac_verify(const uint8_t *mac, const uint8_t *text, unsigned long long size, const uint8_t *key);

/* crypto_box_beforenm; 0 unless the public key is of low order. */
typedef int codec_beforenm(uint8_t *shared, const uint8_t *public, const uint8_t *secret);

/* The functions of libsodium. */
typedef struct {
    codec_box *open, *seal;
    codec_subkey *hsalsa20; /* NULL, as the next three, where PyNaCl lets us have none or not all of them */
    codec_stream *salsa20;
    codec_mac *poly1305;
    codec_mac_verify *poly1305_verify;
    codec_aead_open *open_aegis; /* NULL, as the next, where this libsodium has none */
    codec_aead_seal *seal_aegis;
    codec_hash *hash;
    codec_beforenm *beforenm;
} codec_crypto;

/* Write over a secret. Through a pointer that might change: else a compiler leaves it out. */
static void *(*const volatile overwrite)(void *, int, size_t) = memset;

static inline void wipe(void *secret, size_t size) {
    overwrite(secret, 0, size);
}

static inline uint64_t read_64(const uint8_t *from) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | from[i];
    return value;
}

static inline void write_64(uint8_t *to, uint64_t value) {
    for (int i = 7; i >= 0; i--, value >>= 8)
        to[i] = (uint8_t)value;
}

/* Whether a message of which so much is held may grow by so many octets, whatever a header claims. */
static inline int fits(uint64_t limit, uint64_t held, uint64_t header, uint64_t body) {
    uint64_t left = held <= limit ? limit - held : 0;
    return header <= left && body <= left - header;
}

/* The header of a plain frame, in so many octets. */
static inline void write_plain_header(int v1, uint8_t *to, size_t header, uint64_t size, uint8_t more) {
    if (v1) {
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

#endif
