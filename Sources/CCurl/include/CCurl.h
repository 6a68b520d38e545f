// libcurl, loaded by the first who asks for it: it is linked to twenty libraries of its own, whose loading would be
// two thirds of what starting and ending Weir costs, and most never ask anybody anything.
//
// Every function stands here under a name of its own (an equal one could take libcurl's place for libcurl itself), those
// of variable arguments with the types they have: Swift cannot import those.
#ifndef CCURL_H
#define CCURL_H
#include <curl/curl.h>
#include <sys/socket.h>

/// Loads libcurl, once; any thread. Before it succeeds, none of the functions below may be called.
/// Returns NULL, or why it cannot be had.
const char *weir_curl_load(void);

CURLcode weir_curl_global_init(void);
CURL *weir_curl_easy_init(void);
void weir_curl_easy_cleanup(CURL *easy);
const char *weir_curl_easy_strerror(CURLcode code);
void weir_curl_free(void *bytes);

CURLcode weir_curl_number(CURL *easy, CURLoption option, long value);
CURLcode weir_curl_size(CURL *easy, CURLoption option, curl_off_t value);
CURLcode weir_curl_text(CURL *easy, CURLoption option, const char *value);
CURLcode weir_curl_list(CURL *easy, CURLoption option, struct curl_slist *value);
CURLcode weir_curl_pointer(CURL *easy, CURLoption option, void *value);
/// CURLOPT_WRITEFUNCTION or CURLOPT_HEADERFUNCTION.
CURLcode weir_curl_sink(CURL *easy, CURLoption option, size_t (*function)(char *, size_t, size_t, void *));
/// CURLOPT_OPENSOCKETFUNCTION.
CURLcode weir_curl_open_socket(
    CURL *easy, curl_socket_t (*function)(void *, curlsocktype, struct curl_sockaddr *));
/// CURLOPT_PREREQFUNCTION.
CURLcode weir_curl_before_request(CURL *easy, int (*function)(void *, char *, char *, int, int));
CURLcode weir_curl_get_number(CURL *easy, CURLINFO info, long *value);
CURLcode weir_curl_get_size(CURL *easy, CURLINFO info, curl_off_t *value);

CURLM *weir_curl_multi_init(void);
CURLMcode weir_curl_multi_number(CURLM *multi, CURLMoption option, long value);
CURLMcode weir_curl_multi_add_handle(CURLM *multi, CURL *easy);
CURLMcode weir_curl_multi_remove_handle(CURLM *multi, CURL *easy);
CURLMcode weir_curl_multi_perform(CURLM *multi, int *running);
CURLMcode weir_curl_multi_poll(CURLM *multi, int timeout_ms);
CURLMcode weir_curl_multi_wakeup(CURLM *multi);
CURLMsg *weir_curl_multi_info_read(CURLM *multi, int *left);
CURLMcode weir_curl_multi_cleanup(CURLM *multi);

struct curl_slist *weir_curl_slist_append(struct curl_slist *list, const char *text);
void weir_curl_slist_free_all(struct curl_slist *list);

CURLU *weir_curl_url(void);
void weir_curl_url_cleanup(CURLU *url);
CURLUcode weir_curl_url_set(CURLU *url, CURLUPart part, const char *text, unsigned int flags);
CURLUcode weir_curl_url_get(CURLU *url, CURLUPart part, char **text, unsigned int flags);

static inline CURLcode weir_curl_result(const CURLMsg *message) { return message->data.result; }

static inline const struct sockaddr *weir_curl_address(const struct curl_sockaddr *address) {
    return &address->addr;
}
#endif
