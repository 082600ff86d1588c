/* scan.h - JSON of a profile, value by value, read as forgivingly as profilers write it.
 *
 * What JSON does not allow but cannot be misunderstood is read past, and counted: NaN and inf where a number stands, an
 * escape that is none ("C:\cuda"), control characters in a string.  Commas too many or too few do not matter.  Where
 * the text makes no sense the answer is LSPO_SCAN_BAD, and the caller finds its way on.  No value becomes a tree.
 */
#ifndef LSPO_TRACES_IMPORT_SCAN_H
#define LSPO_TRACES_IMPORT_SCAN_H

#include "traces/import/text.h"

typedef enum { LSPO_SCAN_OK, LSPO_SCAN_BAD, LSPO_SCAN_END } lspo_scan_status_t;

/* Values nest no deeper than this: jansson's limit. */
enum { LSPO_SCAN_DEPTH_MAX = 2048 };

typedef struct {
    lspo_import_text_t *text;
    uint64_t odd_count, odd_line; /* what JSON does not allow: how often, first line */
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

/* A string or bare word.  `word` NULL: only past it. */
lspo_scan_status_t lspo_scan_word(lspo_scan_t *scan, lspo_scan_word_t *word);

/* A key and its colon; or LSPO_SCAN_BAD. */
lspo_scan_status_t lspo_scan_key(lspo_scan_t *scan, lspo_scan_word_t *word);

/* Past the next value, whatever it is. */
lspo_scan_status_t lspo_scan_skip(lspo_scan_t *scan);
/* Past the rest of the object or array whose bracket, `opened`, has been taken. */
lspo_scan_status_t lspo_scan_skip_rest(lspo_scan_t *scan, char opened);

#endif
