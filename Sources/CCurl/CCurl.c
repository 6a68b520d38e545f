// Loading libcurl, and calling it.

#define CURL_DISABLE_TYPECHECK
#include "CCurl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>

#define FUNCTIONS(each) \
    each(curl_global_init) each(curl_easy_init) each(curl_easy_cleanup) each(curl_easy_strerror) \
    each(curl_easy_setopt) each(curl_easy_getinfo) each(curl_free) each(curl_multi_init) \
    each(curl_multi_setopt) each(curl_multi_add_handle) each(curl_multi_remove_handle) \
    each(curl_multi_perform) each(curl_multi_poll) each(curl_multi_wakeup) each(curl_multi_info_read) \
    each(curl_multi_cleanup) each(curl_slist_append) each(curl_slist_free_all) each(curl_url) \
    each(curl_url_cleanup) each(curl_url_set) each(curl_url_get)

#define MEMBER(name) __typeof__(name) *name##_;
static struct { FUNCTIONS(MEMBER) } lib;
static const char *problem;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
    // The version of its interface; never unloaded.
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        // Its text is the thread's, and only until the next such call.
        static char text[256];
        snprintf(text, sizeof text, "%s", dlerror());
        problem = text;
        return;
    }
#define FIND(name) \
    lib.name##_ = (__typeof__(name) *)dlsym(library, #name); \
    if (!lib.name##_ && !problem) problem = #name " is missing in libcurl.so.4";
    FUNCTIONS(FIND)
}

const char *weir_curl_load(void) {
    pthread_once(&once, load);
    return problem;
}

CURLcode weir_curl_global_init(void) { return lib.curl_global_init_(CURL_GLOBAL_DEFAULT); }
CURL *weir_curl_easy_init(void) { return lib.curl_easy_init_(); }
void weir_curl_easy_cleanup(CURL *easy) { lib.curl_easy_cleanup_(easy); }
const char *weir_curl_easy_strerror(CURLcode code) { return lib.curl_easy_strerror_(code); }
void weir_curl_free(void *bytes) { lib.curl_free_(bytes); }

CURLcode weir_curl_number(CURL *easy, CURLoption option, long value) {
    return lib.curl_easy_setopt_(easy, option, value);
}
CURLcode weir_curl_size(CURL *easy, CURLoption option, curl_off_t value) {
    return lib.curl_easy_setopt_(easy, option, value);
}
CURLcode weir_curl_text(CURL *easy, CURLoption option, const char *value) {
    return lib.curl_easy_setopt_(easy, option, value);
}
CURLcode weir_curl_list(CURL *easy, CURLoption option, struct curl_slist *value) {
    return lib.curl_easy_setopt_(easy, option, value);
}
CURLcode weir_curl_pointer(CURL *easy, CURLoption option, void *value) {
    return lib.curl_easy_setopt_(easy, option, value);
}
CURLcode weir_curl_sink(CURL *easy, CURLoption option, size_t (*function)(char *, size_t, size_t, void *)) {
    return lib.curl_easy_setopt_(easy, option, function);
}
CURLcode weir_curl_open_socket(
    CURL *easy, curl_socket_t (*function)(void *, curlsocktype, struct curl_sockaddr *)) {
    return lib.curl_easy_setopt_(easy, CURLOPT_OPENSOCKETFUNCTION, function);
}
CURLcode weir_curl_before_request(CURL *easy, int (*function)(void *, char *, char *, int, int)) {
    return lib.curl_easy_setopt_(easy, CURLOPT_PREREQFUNCTION, function);
}
CURLcode weir_curl_get_number(CURL *easy, CURLINFO info, long *value) {
    return lib.curl_easy_getinfo_(easy, info, value);
}
CURLcode weir_curl_get_size(CURL *easy, CURLINFO info, curl_off_t *value) {
    return lib.curl_easy_getinfo_(easy, info, value);
}

CURLM *weir_curl_multi_init(void) { return lib.curl_multi_init_(); }
CURLMcode weir_curl_multi_number(CURLM *multi, CURLMoption option, long value) {
    return lib.curl_multi_setopt_(multi, option, value);
}
CURLMcode weir_curl_multi_add_handle(CURLM *multi, CURL *easy) {
    return lib.curl_multi_add_handle_(multi, easy);
}
CURLMcode weir_curl_multi_remove_handle(CURLM *multi, CURL *easy) {
    return lib.curl_multi_remove_handle_(multi, easy);
}
CURLMcode weir_curl_multi_perform(CURLM *multi, int *running) {
    return lib.curl_multi_perform_(multi, running);
}
CURLMcode weir_curl_multi_poll(CURLM *multi, int timeout_ms) {
    return lib.curl_multi_poll_(multi, NULL, 0, timeout_ms, NULL);
}
CURLMcode weir_curl_multi_wakeup(CURLM *multi) { return lib.curl_multi_wakeup_(multi); }
CURLMsg *weir_curl_multi_info_read(CURLM *multi, int *left) { return lib.curl_multi_info_read_(multi, left); }
CURLMcode weir_curl_multi_cleanup(CURLM *multi) { return lib.curl_multi_cleanup_(multi); }

struct curl_slist *weir_curl_slist_append(struct curl_slist *list, const char *text) {
    return lib.curl_slist_append_(list, text);
}
void weir_curl_slist_free_all(struct curl_slist *list) { lib.curl_slist_free_all_(list); }

CURLU *weir_curl_url(void) { return lib.curl_url_(); }
void weir_curl_url_cleanup(CURLU *url) { lib.curl_url_cleanup_(url); }
CURLUcode weir_curl_url_set(CURLU *url, CURLUPart part, const char *text, unsigned int flags) {
    return lib.curl_url_set_(url, part, text, flags);
}
CURLUcode weir_curl_url_get(CURLU *url, CURLUPart part, char **text, unsigned int flags) {
    return lib.curl_url_get_(url, part, text, flags);
}
