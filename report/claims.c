/* claims.c - the claims that a check prints; see claims.h. */
#include "report/claims.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static const char *const words[LSPO_CLAIM_VERDICTS] = {"holds", "FAILS", "yes", "no", "undecided"};

const char *lspo_claim_words(const lspo_claim_t *claim)
{
    static const char scale[] = "at this scale";
    static const char *const plain[LSPO_CLAIM_VERDICTS] = {"holds", "does not hold", "yes", "no", "undecided"};
    static const char *const scaled[LSPO_CLAIM_VERDICTS] = {"holds", "does not hold", "holds at this scale",
                                                            "does not hold at this scale", "undecided"};
    bool says_so = memmem(claim->text, claim->bytes, scale, strlen(scale)) != NULL;
    return (says_so ? scaled : plain)[claim->verdict];
}

/* Take the interval, "[95 %: ...", "[one run]" or "[no run]", from the end of the claim's text. */
static void split_interval(lspo_claim_t *claim)
{
    static const char *const begins[] = {" [95 %: ", " [one run]", " [no run]"};
    size_t at = claim->bytes > 0 ? claim->bytes - 1 : 0;
    if (claim->text[at] != ']')
        return;
    while (at > 0 && claim->text[at] != '[')
        at--;
    for (size_t i = 0; at > 0 && i < sizeof begins / sizeof begins[0]; i++)
        if (claim->bytes - at + 1 >= strlen(begins[i]) &&
            memcmp(claim->text + at - 1, begins[i], strlen(begins[i])) == 0) {
            claim->interval = claim->text + at + 1;
            claim->interval_bytes = claim->bytes - at - 2;
            claim->bytes = at - 1;
            return;
        }
}

/* Is the line "  word  claim", with the claim a blank behind the word, in column 9 at least? */
static bool read_line(const char *line, size_t bytes, lspo_claim_t *claim_out)
{
    enum { WORD_AT = 2, WORD_WIDTH = 5 };
    for (int verdict = 0; verdict < LSPO_CLAIM_VERDICTS; verdict++) {
        char before[24];
        size_t at = (size_t)snprintf(before, sizeof before, "%*s%-*s ", WORD_AT, "", WORD_WIDTH, words[verdict]);
        if (bytes > at && memcmp(line, before, at) == 0 && line[at] != ' ') {
            *claim_out = (lspo_claim_t){(lspo_claim_verdict_t)verdict, line + at, bytes - at, NULL, 0};
            split_interval(claim_out);
            return true;
        }
    }
    return false;
}

lspo_status_t lspo_claims_find(const char *output, size_t bytes, lspo_claims_t *claims_out)
{
    lspo_claims_t claims = {0};
    for (const char *line = output; line < output + bytes;) {
        size_t left = (size_t)(output + bytes - line);
        const char *end = memchr(line, '\n', left);
        size_t length = end != NULL ? (size_t)(end - line) : left;
        lspo_claim_t claim;
        if (read_line(line, length, &claim)) {
            lspo_status_t status =
                lspo_array_grow(&claims.list, &claims.capacity, claims.count + 1, sizeof *claims.list, "claims");
            if (status != LSPO_OK) {
                lspo_claims_release(&claims);
                return status;
            }
            claims.list[claims.count++] = claim;
            claims.counts[claim.verdict]++;
        }
        line += length + 1;
    }
    *claims_out = claims;
    return LSPO_OK;
}

void lspo_claims_release(lspo_claims_t *claims)
{
    free(claims->list);
    *claims = (lspo_claims_t){0};
}
