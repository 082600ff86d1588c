/* mpi_plugin.c - the plug-in liblspo-mpi.so; see mpi_plugin.h. */
#include "base/mpi_plugin.h"

#include <mpi.h>
#include <stddef.h>
#include <stdlib.h>

enum { TAG = 1, TAG_SECOND = 2 };

static int start(int *rank_out, int *size_out)
{
    int provided, error = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if (error == MPI_SUCCESS)
        error = MPI_Comm_rank(MPI_COMM_WORLD, rank_out);
    if (error == MPI_SUCCESS)
        error = MPI_Comm_size(MPI_COMM_WORLD, size_out);
    return error;
}

static int send(const void *bytes, int count, int to)
{
    return MPI_Send(bytes, count, MPI_BYTE, to, TAG, MPI_COMM_WORLD);
}

static int look(int *from_out, int *count_out)
{
    MPI_Status status;
    int there, error = MPI_Iprobe(MPI_ANY_SOURCE, TAG, MPI_COMM_WORLD, &there, &status);
    *from_out = -1;
    *count_out = 0;
    if (error != MPI_SUCCESS || !there)
        return error;
    *from_out = status.MPI_SOURCE;
    return MPI_Get_count(&status, MPI_BYTE, count_out);
}

static int receive(void *bytes, int count, int from)
{
    return MPI_Recv(bytes, count, MPI_BYTE, from, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static int begin_send(const void *bytes, int count, int to, int second, void **request_out)
{
    MPI_Request *request = malloc(sizeof *request);
    if (request == NULL)
        return MPI_ERR_NO_MEM;
    *request_out = request;
    return MPI_Isend(bytes, count, MPI_BYTE, to, second ? TAG_SECOND : TAG, MPI_COMM_WORLD, request);
}

static int begin_receive(void *bytes, int count, int from, int second, void **request_out)
{
    MPI_Request *request = malloc(sizeof *request);
    if (request == NULL)
        return MPI_ERR_NO_MEM;
    *request_out = request;
    return MPI_Irecv(bytes, count, MPI_BYTE, from, second ? TAG_SECOND : TAG, MPI_COMM_WORLD, request);
}

static int is_done(void *request, int *done_out)
{
    int error = MPI_Test(request, done_out, MPI_STATUS_IGNORE);
    if (error == MPI_SUCCESS && *done_out)
        free(request);
    return error;
}

static int end(void)
{
    return MPI_Finalize();
}

static void abort_all(int code)
{
    MPI_Abort(MPI_COMM_WORLD, code);
}

const lspo_mpi_t *lspo_mpi(void);
const lspo_mpi_t *lspo_mpi(void)
{
    static const lspo_mpi_t functions = {start,         send,    look, receive,  begin_send,
                                         begin_receive, is_done, end,  abort_all};
    return &functions;
}
