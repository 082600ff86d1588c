/* chunk.h - cells of a sweep that another process plays: some numbers go there, and lines with rows come back. */
#ifndef LSPO_SWEEP_CHUNK_H
#define LSPO_SWEEP_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/status.h"
#include "sweep/play.h"

/* A chunk takes some tens of milliseconds, and its rows are some tens of kilobytes. */
enum { LSPO_CHUNK_CELLS = 64 };

/* What has not been handed out. */
typedef struct {
    const lspo_sweep_play_t *play;
    uint64_t next, count; /* places in the shard */
} lspo_chunks_t;

lspo_chunks_t lspo_chunks_of(const lspo_sweep_play_t *play);

/* The next cells that the journal does not have, at most `most`; returns how many, 0 after the last. */
int lspo_chunks_next(lspo_chunks_t *chunks, int most, uint64_t cells_out[LSPO_CHUNK_CELLS]);

/* Append the row of a cell as a line. */
lspo_status_t lspo_chunk_add(lspo_buffer_t *lines, uint64_t cell, const lspo_row_t *row);
/* Append the rows of such lines to the journal. */
lspo_status_t lspo_chunk_keep(const lspo_sweep_play_t *play, const char *lines, size_t bytes);

#endif
