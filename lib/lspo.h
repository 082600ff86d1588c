/* lspo.h - predict the time per step, the memory and the schedule of a training or a generation from C, C++ or any
 * language that calls C.  This is the library behind `lspo sim`: the same questions give the same numbers.
 *
 *     lspo_context *context;
 *     lspo_query *query;
 *     lspo_reply *reply;
 *     double step_s;
 *     lspo_context_open(NULL, &context);
 *     lspo_query_create(context, &query);
 *     lspo_query_set(query, "model", "llama-7b");
 *     lspo_query_set(query, "machine", "rtx4090");
 *     lspo_query_set(query, "policy", "lsp");
 *     if (lspo_query_predict(query, &reply) == LSPO_DONE) {
 *         lspo_reply_number(reply, "iteration_s", &step_s);
 *         printf("%.0f ms per step\n", step_s * 1e3);
 *     } else {
 *         fprintf(stderr, "%s\n", lspo_context_message(context));
 *     }
 *
 * or, in one call, lspo_predict_json("{\"model\": \"llama-7b\", \"machine\": \"rtx4090\"}", &text).
 *
 * Keys of a query are the options of `lspo sim` without dashes ("batch", "gpu-memory", "set", and the options of the
 * policies: "subspace", "rank"); values are the same texts ("8", "12GiB", "2GB/s").  Names in a reply are those of
 * `lspo sim --format json`, with their units ("iteration_s", "peak_gpu_bytes"); `lspo help terms` defines the words.
 *
 * Threads: a context, and what was made from it, serves one thread at a time; different contexts are independent.  The
 * library never prints or exits (but a fault of its own that an assertion finds aborts), installs no signal handlers,
 * leaves the locale of the process and jansson's allocation functions alone, and keeps no state outside contexts.  It
 * writes no files, and reads only those that a query names.
 *
 * Memory: by default from malloc(); up to 64 MiB of large blocks that a context has freed wait for its next call, until
 * it is closed.  A context may have functions of its own (lspo_options).  What other libraries take for themselves
 * while they serve a call is theirs: jansson's comes from its allocation functions, that of inih and of the C library's
 * streams and locales from malloc().
 *
 * Handles and places for results must not be NULL.  A text that is NULL is refused.
 *
 * The ABI: functions and fields are only ever added.  A struct that the caller allocates begins with its size, which
 * its initialiser sets, so that old programs run with newer libraries and new ones are refused by older ones. */
#ifndef LSPO_H
#define LSPO_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define LSPO_API __attribute__((visibility("default")))
#else
#define LSPO_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What functions return. */
enum {
    LSPO_DONE = 0,
    LSPO_REFUSED = -1,   /* what was asked is wrong: an unknown key, a value out of range, a file that cannot be read */
    LSPO_NO_ROOM = -2,   /* there is no memory */
    LSPO_NOT_FOUND = -3, /* a reply has no such name or index; there is no message */
    LSPO_FAULT = -4      /* a fault in the library */
};

/* Of this header; it grows with every function or field that is added. */
#define LSPO_API_VERSION 2
/* Of the library that runs. */
LSPO_API int lspo_api_version(void);
/* "0.1.0 (1a2b3c4d)"; never freed. */
LSPO_API const char *lspo_release(void);

typedef struct lspo_context lspo_context;
typedef struct lspo_query lspo_query;
typedef struct lspo_reply lspo_reply;

typedef struct {
    size_t size;
    /* NULL, or is called with each warning, in the thread that predicts; `text` lives during the call. */
    void (*warn)(void *user, const char *text);
    void *user;
    /* All three or none; NULL: malloc(), realloc() and free().  For the memory of the context and of all that is made
     * from it, and only in the thread that calls; lspo_predict_json(), which has no context, does without.  They follow
     * the rules of those three, a block of 0 bytes and NULL included, and align as malloc() does.  `memory` is handed
     * to each.  Since version 2. */
    void *(*allocate)(void *memory, size_t bytes);
    void *(*reallocate)(void *memory, void *block, size_t bytes);
    void (*release)(void *memory, void *block);
    void *memory;
} lspo_options;
/* lspo_options options = LSPO_OPTIONS_INIT; */
#define LSPO_OPTIONS_INIT                                                                                              \
    {                                                                                                                  \
        sizeof(lspo_options), NULL, NULL, NULL, NULL, NULL, NULL                                                       \
    }

/* `options` NULL: the defaults.  On failure *context_out is NULL. */
LSPO_API int lspo_context_open(const lspo_options *options, lspo_context **context_out);
/* After all its queries and replies.  NULL is ignored, as by every function below that destroys. */
LSPO_API void lspo_context_close(lspo_context *context);
/* Why the last call with this context, or with what was made from it, failed: one line.  "" after a success. */
LSPO_API const char *lspo_context_message(const lspo_context *context);

/* An empty query: model gpt2-774m, machine paper-workstation, policy lsp, as for `lspo sim`. */
LSPO_API int lspo_query_create(lspo_context *context, lspo_query **query_out);
LSPO_API void lspo_query_destroy(lspo_query *query);
/* Set `key` to `value`; both are copied.  A key given again replaces its value, except "set", which adds a field of the
 * machine or model ("link.h2d_Bps=20GB/s").  An unknown key is refused here, a wrong value when predicting. */
LSPO_API int lspo_query_set(lspo_query *query, const char *key, const char *value);
/* Predict.  The query can be changed and used again; the reply is independent of it. */
LSPO_API int lspo_query_predict(lspo_query *query, lspo_reply **reply_out);

LSPO_API void lspo_reply_destroy(lspo_reply *reply);
/* A number, or 1 and 0 for yes and no; NaN if this prediction has no such value. */
LSPO_API int lspo_reply_number(const lspo_reply *reply, const char *name, double *number_out);
/* A text ("policy", "bound", "advice"), which lives as long as the reply; NULL if it has none. */
LSPO_API int lspo_reply_text(const lspo_reply *reply, const char *name, const char **text_out);
/* The names of all values, from 0; NULL after the last. */
LSPO_API const char *lspo_reply_name(const lspo_reply *reply, size_t index);
/* All values as one JSON object, as `lspo sim --format json` prints them; lives as long as the reply. */
LSPO_API const char *lspo_reply_json(const lspo_reply *reply);

/* An op of the schedule.  lane and kind live as long as the reply. */
typedef struct {
    size_t size;
    const char *lane;      /* "gpu", "d2h", "h2d", "cpu" */
    const char *kind;      /* "FWD", "BWD", "UPD", ...: `lspo help terms` */
    uint32_t layer;        /* 0: the embedding, then the blocks, then the head */
    uint32_t iteration;    /* optimizer step, or new token, from 0 */
    uint32_t micro;        /* micro-batch of the step, or the part of a stage that an update or a message is of */
    uint32_t variant;      /* tells ops of one kind and layer apart: lspo_op_variant_t of plan/op.h; 0: the usual one */
    double start_s, end_s; /* since the start of the plan */
    uint64_t bytes;        /* moved; 0 on GPU and CPU */
} lspo_reply_op;
#define LSPO_REPLY_OP_INIT                                                                                             \
    {                                                                                                                  \
        sizeof(lspo_reply_op), NULL, NULL, 0, 0, 0, 0, 0.0, 0.0, 0                                                     \
    }
LSPO_API size_t lspo_reply_op_count(const lspo_reply *reply);
/* LSPO_NOT_FOUND after the last; LSPO_REFUSED for a size that this library does not know. */
LSPO_API int lspo_reply_op_at(const lspo_reply *reply, size_t index, lspo_reply_op *op);

/* The names of "models", "machines", "policies" or "frameworks", from 0; NULL after the last or for another `what`. */
LSPO_API const char *lspo_known_name(const char *what, size_t index);

/* One prediction as JSON.  `request` is an object: keys and values as for lspo_query_set(), where numbers, true and
 * false may be written as such (a quantity with a unit is a text), "set" is an object or an array of texts, and
 * "ops": true adds the schedule.
 * *answer_out is an object with the names of a reply, "warnings", an array of texts, and with "ops": true "ops", an
 * array of objects; after a failure it is {"error": TEXT}.  It is NULL only with LSPO_NO_ROOM.  Release it with
 * lspo_free(). */
LSPO_API int lspo_predict_json(const char *request, char **answer_out);
LSPO_API void lspo_free(char *text);

#ifdef __cplusplus
}
#endif
#endif
