/* terms.h - explanations of the words in results, help and documents: `lspo help terms`. */
#ifndef LSPO_CLI_TERMS_H
#define LSPO_CLI_TERMS_H

#include <stdio.h>

typedef struct {
    const char *term, *meaning;
} lspo_term_t;

/* Ends with a NULL term. */
extern const lspo_term_t lspo_terms[];

/* Print all of them in lines of 80 columns. */
void lspo_terms_write(FILE *file);

#endif
