// OpenSSL 3 for Swift: the headers, and what Swift cannot import of them (macros that call, cast or
// compute, stacks). Each function here is the macro it is named after, with no logic of its own.
#ifndef COPENSSL_SHIM_H
#define COPENSSL_SHIM_H
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/tls1.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

// SSL_CTX

static inline int weir_ctx_set_min_version(SSL_CTX *c, int v) { return (int)SSL_CTX_set_min_proto_version(c, v); }
static inline int weir_ctx_set_max_version(SSL_CTX *c, int v) { return (int)SSL_CTX_set_max_proto_version(c, v); }
static inline void weir_ctx_set_mode(SSL_CTX *c, long mode) { (void)SSL_CTX_set_mode(c, mode); }
static inline void weir_ctx_set_session_cache_mode(SSL_CTX *c, long mode) { (void)SSL_CTX_set_session_cache_mode(c, mode); }
static inline int weir_ctx_set_groups(SSL_CTX *c, const char *list) { return (int)SSL_CTX_set1_groups_list(c, list); }
static inline int weir_ctx_set_chain(SSL_CTX *c, STACK_OF(X509) *chain) { return (int)SSL_CTX_set1_chain(c, chain); }
static inline void weir_ctx_set_read_ahead(SSL_CTX *c) { SSL_CTX_set_read_ahead(c, 1); }
static inline void weir_ctx_set_server_name_callback(SSL_CTX *c, int (*f)(SSL *, int *, void *)) {
    (void)SSL_CTX_set_tlsext_servername_callback(c, f);
}
static inline void weir_ctx_set_server_name_arg(SSL_CTX *c, void *arg) { (void)SSL_CTX_set_tlsext_servername_arg(c, arg); }
static inline void weir_ctx_set_status_callback(SSL_CTX *c, int (*f)(SSL *, void *)) { (void)SSL_CTX_set_tlsext_status_cb(c, f); }
static inline void weir_ctx_set_status_arg(SSL_CTX *c, void *arg) { (void)SSL_CTX_set_tlsext_status_arg(c, arg); }

static inline uint64_t weir_op_no_compression(void) { return SSL_OP_NO_COMPRESSION; }
static inline uint64_t weir_op_no_renegotiation(void) { return SSL_OP_NO_RENEGOTIATION; }
static inline uint64_t weir_op_no_ticket(void) { return SSL_OP_NO_TICKET; }
static inline uint64_t weir_op_ignore_unexpected_eof(void) { return SSL_OP_IGNORE_UNEXPECTED_EOF; }
static inline uint64_t weir_op_cipher_server_preference(void) { return SSL_OP_CIPHER_SERVER_PREFERENCE; }
static inline uint64_t weir_op_prioritize_chacha(void) { return SSL_OP_PRIORITIZE_CHACHA; }
static inline uint64_t weir_op_no_versions(void) {
    return SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_3;
}

// SSL

static inline int weir_ssl_set_host_name(SSL *s, const char *name) { return (int)SSL_set_tlsext_host_name(s, name); }
static inline int weir_ssl_set_status_response(SSL *s, void *der, long count) {
    return (int)SSL_set_tlsext_status_ocsp_resp(s, der, count);
}
static inline void *weir_ssl_get_app_data(const SSL *s) { return SSL_get_app_data(s); }
static inline int weir_ssl_set_app_data(SSL *s, void *data) { return SSL_set_app_data(s, data); }
static inline X509 *weir_ssl_get_peer_certificate(const SSL *s) { return SSL_get1_peer_certificate(s); }
static inline int weir_ssl_is_server_name_type(void) { return TLSEXT_NAMETYPE_host_name; }

// BIO

static inline void weir_bio_set_retry_read(BIO *b) { BIO_set_retry_read(b); }
static inline void weir_bio_set_retry_write(BIO *b) { BIO_set_retry_write(b); }
static inline void weir_bio_clear_retry(BIO *b) { BIO_clear_retry_flags(b); }

// Errors

static inline int weir_err_lib(unsigned long code) { return ERR_GET_LIB(code); }
static inline int weir_err_reason(unsigned long code) { return ERR_GET_REASON(code); }
static inline int weir_err_is_system(unsigned long code) { return ERR_SYSTEM_ERROR(code); }

// Stacks

static inline STACK_OF(X509) *weir_x509_stack_new(void) { return sk_X509_new_null(); }
static inline int weir_x509_stack_push(STACK_OF(X509) *s, X509 *x) { return sk_X509_push(s, x); }
static inline void weir_x509_stack_free(STACK_OF(X509) *s) { sk_X509_free(s); }
static inline int weir_name_stack_push(STACK_OF(X509_NAME) *s, X509_NAME *n) { return sk_X509_NAME_push(s, n); }
static inline STACK_OF(X509_NAME) *weir_name_stack_new(void) { return sk_X509_NAME_new_null(); }
static inline void weir_names_free(GENERAL_NAMES *names) { GENERAL_NAMES_free(names); }
static inline int weir_names_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
/// The kind of a name and, for DNS names, e-mail addresses, URIs and IP addresses, its bytes.
static inline int weir_name_at(const GENERAL_NAMES *names, int i, const unsigned char **bytes, int *count) {
    int kind = 0;
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    const void *value = GENERAL_NAME_get0_value(name, &kind);
    *bytes = 0;
    *count = 0;
    if (kind == GEN_DNS || kind == GEN_EMAIL || kind == GEN_URI || kind == GEN_IPADD) {
        *bytes = ASN1_STRING_get0_data((const ASN1_STRING *)value);
        *count = ASN1_STRING_length((const ASN1_STRING *)value);
    }
    return kind;
}

// Keys

/// The parameters hold pointers, which Swift's strings could not promise to keep.
static inline int weir_mac_init_hmac_sha256(EVP_MAC_CTX *mac, unsigned char *key, size_t count) {
    char digest[] = "SHA256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key, count),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, parameters);
}

// Certificates

static inline STACK_OF(OPENSSL_STRING) *weir_ocsp_urls(X509 *x) { return X509_get1_ocsp(x); }
static inline int weir_ocsp_urls_count(const STACK_OF(OPENSSL_STRING) *urls) { return sk_OPENSSL_STRING_num(urls); }
static inline const char *weir_ocsp_url_at(const STACK_OF(OPENSSL_STRING) *urls, int i) {
    return sk_OPENSSL_STRING_value(urls, i);
}
static inline void weir_ocsp_urls_free(STACK_OF(OPENSSL_STRING) *urls) { X509_email_free(urls); }

static inline unsigned long weir_name_flags(void) { return XN_FLAG_RFC2253; }
static inline int weir_x509_fingerprint(const X509 *x, unsigned char *sha256) {
    unsigned int count = 0;
    return X509_digest(x, EVP_sha256(), sha256, &count);
}

#endif
