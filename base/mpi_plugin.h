/* mpi_plugin.h - what lspo needs of MPI: the functions of the plug-in liblspo-mpi.so.
 *
 * The plug-in is the only code that is linked with MPI.  It is opened under a launcher (mpirun, srun) and not
 * otherwise, so a usual start does not load MPI.  All calls come from one thread.  Functions return 0, or MPI's error
 * code.
 */
#ifndef LSPO_BASE_MPI_PLUGIN_H
#define LSPO_BASE_MPI_PLUGIN_H

typedef struct {
    int (*start)(int *rank_out, int *size_out);
    int (*send)(const void *bytes, int count, int to);
    /* Is a message there?  *count_out 0: none, or one of no bytes; *from_out -1: none. */
    int (*look)(int *from_out, int *count_out);
    int (*receive)(void *bytes, int count, int from);
    /* The same without waiting, and with a second kind of messages, which `look` does not see.  is_done releases the
     * request when it is; then *done_out is not 0. */
    int (*begin_send)(const void *bytes, int count, int to, int second, void **request_out);
    int (*begin_receive)(void *bytes, int count, int from, int second, void **request_out);
    int (*is_done)(void *request, int *done_out);
    int (*end)(void);        /* all ranks have ended their work */
    void (*abort)(int code); /* end all ranks at once; does not return */
} lspo_mpi_t;

/* The plug-in's only symbol: const lspo_mpi_t *lspo_mpi(void). */
#define LSPO_MPI_SYMBOL "lspo_mpi"

#endif
