/* claims.h - the claims that a check prints.
 *
 * `lspo sql` prints one line per claim: two blanks, a word in at least five columns, a blank, the claim.
 * "holds" and "FAILS" are verdicts of claims that must hold; "yes" and "no" are those of claims of others that are only
 * printed; "undecided" is that of either, if its limit is within its interval.  A claim may end in its interval, as
 * " [95 %: 1.2 to 1.4]", " [one run]" or " [no run]".  All other lines are numbers.
 */
#ifndef LSPO_REPORT_CLAIMS_H
#define LSPO_REPORT_CLAIMS_H

#include <stddef.h>

#include "base/status.h"

typedef enum {
    LSPO_CLAIM_HOLDS,
    LSPO_CLAIM_FAILS,
    LSPO_CLAIM_SEEN,   /* "yes": not required, and so here */
    LSPO_CLAIM_UNSEEN, /* "no" */
    LSPO_CLAIM_UNDECIDED,
    LSPO_CLAIM_VERDICTS
} lspo_claim_verdict_t;

typedef struct {
    lspo_claim_verdict_t verdict;
    const char *text; /* in the output, which lives as long; `bytes` long */
    size_t bytes;
    const char *interval; /* what is between its brackets, behind the claim; NULL: it has none */
    size_t interval_bytes;
} lspo_claim_t;

typedef struct {
    lspo_claim_t *list; /* owned */
    size_t count, capacity;
    size_t counts[LSPO_CLAIM_VERDICTS];
} lspo_claims_t;

/* The claims in `output`, in its order.  The caller releases them. */
lspo_status_t lspo_claims_find(const char *output, size_t bytes, lspo_claims_t *claims_out);
void lspo_claims_release(lspo_claims_t *claims);

/* The verdict in the report's words: "holds", "does not hold", "yes", "no", "undecided".  A decided claim that is not
 * required, and says "at this scale", is a paper's that small models cannot settle: "holds at this scale", "does not
 * hold at this scale". */
const char *lspo_claim_words(const lspo_claim_t *claim);

#endif
