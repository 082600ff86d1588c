/* scan.h - read the JSON of a profile value by value, tolerating the errors that profilers make.
 *
 * What JSON does not allow but is unambiguous is accepted and counted: NaN and inf as numbers, invalid escapes
 * ("C:\cuda"), control characters in a string.  Missing and extra commas are ignored.  If the text is not JSON, the
 * result is LSPO_SCAN_BAD, and the caller decides how to continue.  No tree of values is built.
 */
#ifndef LSPO_TRACES_IMPORT_SCAN_H
#define LSPO_TRACES_IMPORT_SCAN_H

#include "traces/import/text.h"

typedef enum { LSPO_SCAN_OK, LSPO_SCAN_BAD, LSPO_SCAN_END } lspo_scan_status_t;

/* Maximum nesting of values, the limit of jansson. */
enum { LSPO_SCAN_DEPTH_MAX = 2048 };

typedef struct {
    lspo_import_text_t *text;
    uint64_t odd_count, odd_line; /* what JSON does not allow: count, first line */
} lspo_scan_t;

/* One word: a string without its escapes, or a bare word such as a number. */
typedef struct {
    char *text; /* owned, ends with a zero byte */
    size_t length, capacity;
    bool is_string;
} lspo_scan_word_t;

void lspo_scan_word_release(lspo_scan_word_t *word);

/* The next byte that is neither blank nor, if `commas`, a comma, without taking it; LSPO_IMPORT_END at the end. */
int lspo_scan_peek(lspo_scan_t *scan, bool commas);

/* Read a string or bare word.  `word` NULL: skip it. */
lspo_scan_status_t lspo_scan_word(lspo_scan_t *scan, lspo_scan_word_t *word);

/* Read a key and its colon; else LSPO_SCAN_BAD. */
lspo_scan_status_t lspo_scan_key(lspo_scan_t *scan, lspo_scan_word_t *word);

/* Skip the next value of any kind. */
lspo_scan_status_t lspo_scan_skip(lspo_scan_t *scan);
/* Skip the rest of the object or array whose bracket `opened` has been read. */
lspo_scan_status_t lspo_scan_skip_rest(lspo_scan_t *scan, char opened);

#endif
