/* chunk.c - see chunk.h. */
#include "sweep/chunk.h"

#include <string.h>

lspo_chunks_t lspo_chunks_of(const lspo_sweep_play_t *play)
{
    uint64_t cells = play->grid->cell_count;
    return (lspo_chunks_t){play, 0, cells > play->shard ? (cells - play->shard - 1) / play->shard_count + 1 : 0};
}

int lspo_chunks_next(lspo_chunks_t *chunks, int most, uint64_t cells_out[LSPO_CHUNK_CELLS])
{
    const lspo_sweep_play_t *play = chunks->play;
    int count = 0;
    for (; count < most && chunks->next < chunks->count; chunks->next++) {
        uint64_t cell = play->shard + chunks->next * play->shard_count;
        if (!lspo_journal_has(play->journal, cell))
            cells_out[count++] = cell;
    }
    return count;
}

lspo_status_t lspo_chunk_add(lspo_buffer_t *lines, uint64_t cell, const lspo_row_t *row)
{
    char prefix[LSPO_ROW_PREFIX_BYTES];
    lspo_status_t status = lspo_buffer_append(lines, prefix, lspo_row_prefix(cell, row, prefix));
    if (status == LSPO_OK)
        status = lspo_buffer_append(lines, row->text, row->bytes);
    return status == LSPO_OK ? lspo_buffer_append(lines, "\n", 1) : status;
}

lspo_status_t lspo_chunk_keep(const lspo_sweep_play_t *play, const char *lines, size_t bytes)
{
    lspo_status_t status = LSPO_OK;
    const char *end = lines + bytes;
    for (const char *line = lines; status == LSPO_OK && line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        uint64_t cell = 0;
        const lspo_row_t row = stop != NULL ? lspo_row_of_line(line, (size_t)(stop - line), &cell) : (lspo_row_t){0};
        if (row.text == NULL || cell >= play->grid->cell_count)
            return lspo_error(LSPO_ERR_INTERNAL, "a process has sent rows that are none");
        status = lspo_journal_append(play->journal, cell, &row);
        line = stop + 1;
    }
    return status;
}
