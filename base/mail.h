/* mail.h - letters between the ranks of an MPI job.
 *
 * One thread calls MPI: it sends and receives without blocking, so letters of any size and number may be on their way
 * in both directions, and come on whether anybody waits for them or not; those that have come wait in memory.  Letters
 * from one rank come in the order in which they were sent.
 *
 * Every rank tells the others each second that it is there.  If one of them has not been heard of for the time-out,
 * it has ended or hangs, or its machine cannot be reached: the calls that wait for letters then fail, lspo_mail_close()
 * with that failure ends all ranks, and so does a call that sends, whose data MPI may still read.  The same holds where
 * MPI itself does not return for so long. */
#ifndef LSPO_BASE_MAIL_H
#define LSPO_BASE_MAIL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct lspo_mail lspo_mail_t;

/* `what` is below LSPO_MAIL_OWN; `number` is free. */
typedef struct {
    int from; /* or to whom */
    uint32_t what, number;
    void *data; /* owned, of malloc(), in a letter that has come; NULL for no bytes */
    size_t bytes;
} lspo_letter_t;

#define LSPO_MAIL_OWN UINT32_C(0x80000000)

/* The words of a rank to which another one does not answer. */
#define LSPO_MAIL_SILENT "rank %d has not been heard of"

/* Start MPI; *mail_out is NULL if no launcher (mpirun, srun) has started this process with others.  `flag`, which must
 * outlive the mail, is that of the time-out, for messages.  LSPO_ERR_INPUT if MPI's plug-in cannot be opened,
 * LSPO_ERR_IO if MPI does not start within the time-out. */
lspo_status_t lspo_mail_open(double timeout_s, const char *flag, lspo_mail_t **mail_out);

/* NULL is one rank, number 0. */
int lspo_mail_rank(const lspo_mail_t *mail);
int lspo_mail_size(const lspo_mail_t *mail);

/* Send a letter to rank letter->from; returns when its data are no longer needed.  LSPO_ERR_INPUT for 2 GiB or more.
 * If a rank has not been heard of, or MPI fails, it does not return: all ranks end. */
lspo_status_t lspo_mail_send(lspo_mail_t *mail, const lspo_letter_t *letter);

/* Wait for the first letter about `what` from this rank (-1: any).  LSPO_ERR_INTERRUPTED, without a message, when
 * *halted (NULL: never) is not 0; LSPO_ERR_CHECK if the rank, or with -1 all others, have called lspo_mail_close();
 * LSPO_ERR_IO if a rank has not been heard of, or MPI fails.  The caller frees its data. */
lspo_status_t lspo_mail_take(lspo_mail_t *mail, uint32_t what, int from, const atomic_int *halted,
                             lspo_letter_t *letter_out);

/* Wait until all ranks are here.  The number of the meeting is the same for all. */
lspo_status_t lspo_mail_meet(lspo_mail_t *mail);

/* With LSPO_OK: wait until all ranks have come to their end, and end MPI.  With a failure: end all ranks with its exit
 * code.  NULL is ignored. */
lspo_status_t lspo_mail_close(lspo_mail_t *mail, lspo_status_t status);

#endif
