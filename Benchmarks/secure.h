// TLS for the loads: OpenSSL as a client, TLS 1.3 only, always TLS_AES_128_GCM_SHA256 and X25519, so that all peers do the
// same sums. Nothing is verified: the certificate is the benchmark's own, and verifying it would only cost.

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/types.h>

#define READ_BUFFER_BYTES (128 * 1024)

static SSL_CTX *secure;      // NULL: cleartext
static SSL_SESSION *session; // the newest, where connections are to resume one

static int keepSession(SSL *tls, SSL_SESSION *newest) {
    (void)tls;
    SSL_SESSION_free(session);
    session = newest;
    return 1;
}

// SSL_VERIFY_NONE would verify and then ignore what came of it.
static int trustAnything(X509_STORE_CTX *store, void *unused) {
    (void)unused;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

// `small`: many connections that wait; `busy`: few that read much.
static void setUpTLS(int resume, int small, int busy) {
    secure = SSL_CTX_new(TLS_client_method());
    if (!secure) exit(1);
    SSL_CTX_set_min_proto_version(secure, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(secure, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set1_groups_list(secure, "X25519");
    SSL_CTX_set_cert_verify_callback(secure, trustAnything, NULL);
    SSL_CTX_set_session_cache_mode(secure, SSL_SESS_CACHE_OFF);
    if (resume) {
        SSL_CTX_set_session_cache_mode(secure, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(secure, keepSession);
    }
    if (small) {
        SSL_CTX_set_mode(secure, SSL_MODE_RELEASE_BUFFERS);
    } else {
        // One recv for many records instead of two for each.
        SSL_CTX_set_read_ahead(secure, 1);
        if (busy) SSL_CTX_set_default_read_buffer_len(secure, READ_BUFFER_BYTES);
    }
}

static SSL *newTLS(int fd) {
    SSL *tls = SSL_new(secure);
    if (!tls) exit(1);
    SSL_set_fd(tls, fd);
    SSL_set_connect_state(tls);
    SSL_set_tlsext_host_name(tls, "bench.test");
    if (session) {
        // A copy: OpenSSL holds a TLS 1.3 session unfit for further use once a handshake with it is complete.
        SSL_SESSION *copy = SSL_SESSION_dup(session);
        if (copy) SSL_set_session(tls, copy);
        SSL_SESSION_free(copy);
    }
    return tls;
}

static void freeTLS(SSL *tls) {
    // Without this OpenSSL would hold the connection's sessions unfit for resumption.
    SSL_set_shutdown(tls, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(tls);
}

// Like send, after the handshake; what hinders it shows in the next read.
static ssize_t writeTLS(SSL *tls, const char *bytes, size_t count) {
    int sent = SSL_write(tls, bytes, (int)count);
    if (sent <= 0) ERR_clear_error(); // or it would be taken for an error of the next connection
    return sent;
}

// Like recv, but a read ends with each record.
static ssize_t readTLS(SSL *tls, char *bytes, size_t count) {
    int got = SSL_read(tls, bytes, (int)count);
    if (got > 0) return got;
    int reason = SSL_get_error(tls, got);
    ERR_clear_error();
    if (reason == SSL_ERROR_ZERO_RETURN) return 0;
    errno = reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
    return -1;
}
