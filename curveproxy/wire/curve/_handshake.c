/* The twin in C of handshake.py, which is the definition: HELLO to WELCOME, and INITIATE opened, each in one call. It
 * is a part of the codec's extension.
 *
 * All secrets of a call stand in one struct, which is wiped on every way out. The GIL is kept: a call takes less than
 * two tenths of a millisecond.
 */

#include "../codec/module.h"

/* --- layouts: those of layout.py. Their members are octets, so that nothing stands between them. */

enum { LONG_NONCE = 16, MAC_SIZE = 16 };

/* What a cookie holds: C' and s'. */
typedef struct {
    uint8_t client_transient[KEY_SIZE], server_transient[KEY_SIZE];
} cookie_plain;

/* A cookie, or a vouch. */
typedef struct {
    uint8_t nonce[LONG_NONCE], box[2 * KEY_SIZE + MAC_SIZE];
} long_box;

typedef struct {
    uint8_t name[6], version[2], padding[72], client_transient[KEY_SIZE], nonce[SHORT_NONCE], box[64 + MAC_SIZE];
} hello_body;

typedef struct {
    uint8_t server_transient[KEY_SIZE];
    long_box cookie;
} welcome_plain;

typedef struct {
    uint8_t header[SHORT_HEADER], name[8], nonce[LONG_NONCE], box[sizeof(welcome_plain) + MAC_SIZE];
} welcome_frame;

typedef struct {
    uint8_t name[9];
    long_box cookie;
    uint8_t nonce[SHORT_NONCE], box[];
} initiate_body;

typedef struct {
    uint8_t client[KEY_SIZE];
    long_box vouch;
    uint8_t metadata[];
} initiate_plain;

enum {
    WELCOME_SIZE = sizeof(welcome_frame) - SHORT_HEADER,
    INITIATE_OVERHEAD = sizeof(initiate_body) + sizeof(initiate_plain) + MAC_SIZE
};

_Static_assert(sizeof(hello_body) == 200 && WELCOME_SIZE == 168 && INITIATE_OVERHEAD == 257, "sizes of RFC 26");

static const uint8_t VERSION[2] = {1, 0}, ZEROS[72];
static const uint8_t WELCOME_NAME[8] = {7, 'W', 'E', 'L', 'C', 'O', 'M', 'E'};

/* --- what comes of a call */

/* The places in handshake.FLAWS; or that Python has an error to tell, or none. */
typedef enum {
    ERROR = -1, HELLO_VERSION, HELLO_PADDING, HELLO_BOX, HELLO_PLAIN, COOKIE, INITIATE_NONCE, INITIATE_BOX, VOUCH,
    FLAWS, FINE = FLAWS
} flaw;

_Static_assert((int)FLAWS == (int)HANDSHAKE_FLAWS, "as many as setup() is given");

static PyObject *refuse(const module_state *module, flaw found) {
    if (found != ERROR)
        PyErr_SetObject(module->peer_error, PyTuple_GetItem(module->flaws, found));
    return NULL;
}

/* --- arguments */

static int begin(const module_state *module, Py_ssize_t given, Py_ssize_t wanted) {
    if (module->peer_error != NULL && given == wanted)
        return 0;
    PyErr_Format(PyExc_TypeError, "%zd arguments", wanted);
    return -1;
}

/* The octets of bytes that have at least so many, and at most; NULL where they are none. */
static const uint8_t *octets_of(PyObject *bytes, Py_ssize_t least, Py_ssize_t most) {
    if (PyBytes_Check(bytes) && least <= PyBytes_Size(bytes) && PyBytes_Size(bytes) <= most)
        return (const uint8_t *)PyBytes_AsString(bytes);
    PyErr_SetString(PyExc_ValueError, "bytes of the size that is due");
    return NULL;
}

static int is_tuple(PyObject *object) {
    if (!PyTuple_Check(object))
        PyErr_SetString(PyExc_TypeError, "a tuple");
    return PyTuple_Check(object);
}

/* Copy a key out of bytes or a bytearray; -1 where it is none. */
static int copy_key(PyObject *key, uint8_t to[KEY_SIZE]) {
    const uint8_t *octets;
    if (PyByteArray_Check(key) && PyByteArray_Size(key) == KEY_SIZE)
        octets = (const uint8_t *)PyByteArray_AsString(key);
    else if ((octets = octets_of(key, KEY_SIZE, KEY_SIZE)) == NULL)
        return -1;
    memcpy(to, octets, KEY_SIZE);
    return 0;
}

/* Copy the public or the secret key of a KeyPair. */
static int copy_half(PyObject *pair, PyObject *name, uint8_t to[KEY_SIZE]) {
    PyObject *key = PyObject_GetAttr(pair, name);
    const int result = key == NULL ? -1 : copy_key(key, to);
    Py_XDECREF(key);
    return result;
}

/* --- boxes */

/* The nonce of a box: what it is for, and behind that what was sent of it. */
static void make_nonce(uint8_t nonce[NONCE_SIZE], const char *prefix, const uint8_t *sent) {
    const size_t size = strlen(prefix);
    memcpy(nonce, prefix, size);
    memcpy(nonce + size, sent, NONCE_SIZE - size);
}

/* See cookie.cookie_key; -1 where an argument is not what is due. */
static int make_cookie_key(const codec_crypto *crypto, PyObject *rotating, PyObject *binding, uint8_t key[KEY_SIZE]) {
    const uint8_t *octets = octets_of(binding, 0, PY_SSIZE_T_MAX);
    uint8_t from[KEY_SIZE];
    if (octets == NULL || copy_key(rotating, from) < 0)
        return -1;
    crypto->hash(key, KEY_SIZE, octets, (unsigned long long)PyBytes_Size(binding), from, KEY_SIZE, ZEROS, ZEROS);
    wipe(from, sizeof from);
    return 0;
}

/* --- HELLO to WELCOME */

typedef struct {
    uint8_t secret[KEY_SIZE], shared[KEY_SIZE], cookie_key[KEY_SIZE];
    uint8_t hello[64];
    cookie_plain cookie;
    welcome_plain welcome;
} hello_secrets;

/* server: the pair that opens it, which the caller's tuple keeps. */
static flaw open_hello(const module_state *module, const hello_body *hello, PyObject *servers, PyObject **server,
                       hello_secrets *s) {
    const codec_crypto *crypto = &module->crypto;
    if (memcmp(hello->version, VERSION, sizeof VERSION) != 0)
        return HELLO_VERSION;
    if (memcmp(hello->padding, ZEROS, sizeof hello->padding) != 0)
        return HELLO_PADDING;
    uint8_t nonce[NONCE_SIZE];
    make_nonce(nonce, "CurveZMQHELLO---", hello->nonce);
    for (Py_ssize_t i = 0; i < PyTuple_Size(servers); i++) {
        *server = PyTuple_GetItem(servers, i);
        if (copy_half(*server, module->secret_name, s->secret) < 0)
            return ERROR;
        if (crypto->beforenm(s->shared, hello->client_transient, s->secret) == 0 &&
            crypto->open(s->hello, hello->box, sizeof hello->box, nonce, s->shared) == 0)
            return memcmp(s->hello, ZEROS, sizeof s->hello) == 0 ? FINE : HELLO_PLAIN;
    }
    return HELLO_BOX;
}

static flaw make_welcome(const module_state *module, const hello_body *hello, PyObject *const *arguments,
                         welcome_frame *welcome, hello_secrets *s) {
    const codec_crypto *crypto = &module->crypto;
    PyObject *rotating = arguments[2], *binding = arguments[3], *transient = arguments[4];
    const uint8_t *chance = octets_of(arguments[5], 2 * LONG_NONCE, 2 * LONG_NONCE);
    if (chance == NULL || make_cookie_key(crypto, rotating, binding, s->cookie_key) < 0 ||
        copy_half(transient, module->public_name, s->welcome.server_transient) < 0 ||
        copy_half(transient, module->secret_name, s->cookie.server_transient) < 0)
        return ERROR;
    uint8_t nonce[NONCE_SIZE];
    memcpy(s->cookie.client_transient, hello->client_transient, KEY_SIZE);
    memcpy(s->welcome.cookie.nonce, chance, LONG_NONCE);
    make_nonce(nonce, "COOKIE--", s->welcome.cookie.nonce);
    crypto->seal(s->welcome.cookie.box, (const uint8_t *)&s->cookie, sizeof s->cookie, nonce, s->cookie_key);
    welcome->header[0] = COMMAND;
    welcome->header[1] = WELCOME_SIZE;
    memcpy(welcome->name, WELCOME_NAME, sizeof WELCOME_NAME);
    memcpy(welcome->nonce, chance + LONG_NONCE, LONG_NONCE);
    make_nonce(nonce, "WELCOME-", welcome->nonce);
    crypto->seal(welcome->box, (const uint8_t *)&s->welcome, sizeof s->welcome, nonce, s->shared);
    return FINE;
}

/* answer_hello_untrusted(body, servers, rotating, binding, transient, chance) */
PyObject *codec_answer_hello(PyObject *self, PyObject *const *arguments, Py_ssize_t given) {
    const module_state *module = PyModule_GetState(self);
    const uint8_t *body;
    if (begin(module, given, 6) < 0 ||
        (body = octets_of(arguments[0], sizeof(hello_body), sizeof(hello_body))) == NULL || !is_tuple(arguments[1]))
        return NULL;
    const hello_body *hello = (const hello_body *)body;
    hello_secrets secrets;
    welcome_frame welcome;
    PyObject *server = NULL;
    flaw found = open_hello(module, hello, arguments[1], &server, &secrets);
    if (found == FINE)
        found = make_welcome(module, hello, arguments, &welcome, &secrets);
    wipe(&secrets, sizeof secrets);
    if (found != FINE)
        return refuse(module, found);
    return Py_BuildValue("(Oy#y#)", server, (const char *)hello->nonce, (Py_ssize_t)SHORT_NONCE,
                         (const char *)&welcome, (Py_ssize_t)sizeof welcome);
}

/* --- INITIATE */

typedef struct {
    uint8_t shared[KEY_SIZE], key[KEY_SIZE]; /* key: of the cookie, then of the vouch */
    cookie_plain cookie;
    uint8_t vouched[2 * KEY_SIZE]; /* C' + S */
} initiate_secrets;

static flaw open_cookie(const codec_crypto *crypto, const long_box *cookie, PyObject *rotating, PyObject *binding,
                        initiate_secrets *s) {
    uint8_t nonce[NONCE_SIZE];
    make_nonce(nonce, "COOKIE--", cookie->nonce);
    for (Py_ssize_t i = 0; i < PyTuple_Size(rotating); i++) {
        if (make_cookie_key(crypto, PyTuple_GetItem(rotating, i), binding, s->key) < 0)
            return ERROR;
        if (crypto->open((uint8_t *)&s->cookie, cookie->box, sizeof cookie->box, nonce, s->key) == 0)
            return FINE;
    }
    return COOKIE;
}

/* Whether a number is the next one; none is behind the largest. */
static int follows(uint64_t number, uint64_t before) {
    return number && number == before + 1;
}

static uint64_t read_little_endian(const uint8_t *from) {
    uint64_t value = 0;
    for (int i = SHORT_NONCE - 1; i >= 0; i--)
        value = value << 8 | from[i];
    return value;
}

/* See handshake._little_endian_untrusted. */
static flaw judge_nonce(const uint8_t *hello, const uint8_t *initiate, int *little_endian) {
    *little_endian = 0;
    if (memcmp(hello, initiate, SHORT_NONCE) == 0 || follows(read_64(initiate), read_64(hello)))
        return FINE;
    *little_endian = 1;
    return follows(read_little_endian(initiate), read_little_endian(hello)) ? FINE : INITIATE_NONCE;
}

/* plain: so many octets, to be wiped and freed by the caller also when it does not open. */
static flaw open_box(const codec_crypto *crypto, const initiate_body *initiate, size_t size, initiate_plain **plain,
                     initiate_secrets *s) {
    uint8_t nonce[NONCE_SIZE];
    make_nonce(nonce, "CurveZMQINITIATE", initiate->nonce);
    if ((*plain = PyMem_Malloc(size)) == NULL) {
        PyErr_NoMemory();
        return ERROR;
    }
    if (crypto->beforenm(s->shared, s->cookie.client_transient, s->cookie.server_transient) != 0 ||
        crypto->open((uint8_t *)*plain, initiate->box, size + MAC_SIZE, nonce, s->shared) != 0)
        return INITIATE_BOX;
    return FINE;
}

/* Both halves are compared, in a time that does not tell where they differ: see box.vouches. */
static flaw judge_vouch(const codec_crypto *crypto, const initiate_plain *plain, const uint8_t *server,
                        initiate_secrets *s) {
    uint8_t nonce[NONCE_SIZE], differs = 0;
    make_nonce(nonce, "VOUCH---", plain->vouch.nonce);
    if (crypto->beforenm(s->key, plain->client, s->cookie.server_transient) != 0 ||
        crypto->open(s->vouched, plain->vouch.box, sizeof plain->vouch.box, nonce, s->key) != 0)
        return VOUCH;
    for (int i = 0; i < KEY_SIZE; i++)
        differs |= (s->vouched[i] ^ s->cookie.client_transient[i]) | (s->vouched[KEY_SIZE + i] ^ server[i]);
    return differs ? VOUCH : FINE;
}

/* open_initiate_untrusted(body, server, rotating, binding, hello_nonce) */
PyObject *codec_open_initiate(PyObject *self, PyObject *const *arguments, Py_ssize_t given) {
    const module_state *module = PyModule_GetState(self);
    const codec_crypto *crypto = &module->crypto;
    const uint8_t *body, *server, *hello_nonce;
    if (begin(module, given, 5) < 0 ||
        (body = octets_of(arguments[0], INITIATE_OVERHEAD, PY_SSIZE_T_MAX)) == NULL ||
        (server = octets_of(arguments[1], KEY_SIZE, KEY_SIZE)) == NULL || !is_tuple(arguments[2]) ||
        (hello_nonce = octets_of(arguments[4], SHORT_NONCE, SHORT_NONCE)) == NULL)
        return NULL;
    const initiate_body *initiate = (const initiate_body *)body;
    const size_t size = (size_t)PyBytes_Size(arguments[0]) - sizeof *initiate - MAC_SIZE;
    initiate_secrets secrets;
    initiate_plain *plain = NULL;
    PyObject *result = NULL;
    int little_endian;
    flaw found = open_cookie(crypto, &initiate->cookie, arguments[2], arguments[3], &secrets);
    if (found == FINE)
        found = judge_nonce(hello_nonce, initiate->nonce, &little_endian);
    if (found == FINE)
        found = open_box(crypto, initiate, size, &plain, &secrets);
    if (found == FINE)
        found = judge_vouch(crypto, plain, server, &secrets);
    if (found == FINE) {
        uint64_t counter = little_endian ? read_little_endian(initiate->nonce) : read_64(initiate->nonce);
        result = Py_BuildValue("(y#KNy#y#)", (const char *)plain->client, (Py_ssize_t)KEY_SIZE,
                               (unsigned long long)counter, PyBool_FromLong(little_endian),
                               (const char *)secrets.shared, (Py_ssize_t)KEY_SIZE, (const char *)plain->metadata,
                               (Py_ssize_t)(size - sizeof *plain));
    }
    if (plain != NULL)
        wipe(plain, size);
    PyMem_Free(plain);
    wipe(&secrets, sizeof secrets);
    return found == FINE ? result : refuse(module, found);
}
