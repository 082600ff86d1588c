/* embed.h - which files of the results are inside the page, and how the others are named. */
#ifndef LSPO_REPORT_EMBED_H
#define LSPO_REPORT_EMBED_H

#include <stddef.h>

typedef struct {
    size_t picture_most; /* larger pictures, in bytes, are inside compressed, which needs JavaScript */
    size_t packed_most;  /* those that are larger compressed stay outside */
    size_t data_most;    /* CSV that are larger stay outside */
    const char *beside;  /* URL of the folder of results from the page, ending in /; "": the page is there */
} lspo_embed_t;

#endif
