/* status.h - how every part of lspo reports failure.
 *
 * A function that can fail returns lspo_status_t: LSPO_OK (0) or a negative error.  The function that detects an error
 * logs it, once, with lspo_error(); its callers only pass the status on.  Out-arguments come last and are set only on
 * success.  Only main() ends the process.
 */
#ifndef LSPO_BASE_STATUS_H
#define LSPO_BASE_STATUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    LSPO_OK = 0,
    LSPO_ERR_INPUT = -1,        /* a flag, value or file given is wrong or unreadable exit 2 */
    LSPO_ERR_IO = -2,           /* writing failed                                 exit 1 */
    LSPO_ERR_MEMORY = -3,       /* this process could not get host memory         exit 1 */
    LSPO_ERR_FIT = -4,          /* the plan does not fit the device or its cap    exit 4 */
    LSPO_ERR_DEVICE = -5,       /* no such device here                            exit 3 */
    LSPO_ERR_NUMERIC = -6,      /* a loss or weight became NaN or infinite        exit 1 */
    LSPO_ERR_CHECK = -7,        /* a comparison or check did not hold             exit 1 */
    LSPO_ERR_INTERRUPTED = -8,  /* Ctrl-C                                         exit 130 */
    LSPO_ERR_INTERNAL = -9,     /* a bug: an invariant was violated            exit 1 */
    LSPO_ERR_ACCURACY = -10,    /* predictions outside the thresholds, or a step outside its band  exit 5 */
    LSPO_ERR_INCONCLUSIVE = -11 /* too few measurements for a verdict        exit 6 */
} lspo_status_t;

/* The process exit code for a status, as listed above. */
int lspo_status_exit_code(lspo_status_t status);

/* The status for a given file that cannot be opened or read: LSPO_ERR_MEMORY for ENOMEM, else LSPO_ERR_INPUT. */
lspo_status_t lspo_status_of_errno(int error);

/* The status for an errno of mkdir(): LSPO_ERR_INPUT if the name is that of something else or goes through it, else
 * LSPO_ERR_IO. */
lspo_status_t lspo_status_of_mkdir(int error);

/* The meaning of each exit code; the table ends with a NULL meaning.  `lspo help exit-codes`, the man pages and the
 * README use these texts. */
typedef struct {
    int code;
    const char *meaning;
} lspo_exit_code_t;
extern const lspo_exit_code_t lspo_exit_codes[];

/* Write "lspo: error: ..." or "lspo: warning: ..." and a newline to stderr, with control characters and what is not
 * UTF-8 as \xNN (base/printable.h). lspo_error() returns `status`, so that the detecting function can write: return
 * lspo_error(LSPO_ERR_INPUT, "...", ...); */
lspo_status_t lspo_error(lspo_status_t status, const char *format, ...) __attribute__((format(printf, 2, 3)));
void lspo_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* LSPO_ERR_MEMORY, logged as "no memory for WHAT", where `what` is the format:
 * return lspo_no_memory("%zu samples", count); */
lspo_status_t lspo_no_memory(const char *what, ...) __attribute__((format(printf, 1, 2)));

/* From now on the messages of the calling thread are kept instead of printed: its first error goes to `text`, cut off
 * at `capacity` bytes and without line ends; warnings are dropped.  NULL: they are printed again. */
void lspo_messages_keep(char *text, size_t capacity);

/* Where the messages of a thread go. */
typedef struct {
    char *text; /* as of lspo_messages_keep(), which makes it empty first */
    size_t capacity;
    void (*warn)(void *context, const char *text); /* takes warnings while errors are kept; NULL: they are dropped */
    void *context;
} lspo_messages_t;

/* Send those of the calling thread to `messages`; returns where they went before, to be restored by the next call. */
lspo_messages_t lspo_messages_send(lspo_messages_t messages);

/* `before` is called before each message, in the same thread; it erases a progress line.  Set it before threads
 * start. */
void lspo_message_hook(void (*before)(void));

#ifdef __cplusplus
}
#endif
#endif
