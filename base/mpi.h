/* mpi.h - open MPI's plug-in where a launcher has started this process with others. */
#ifndef LSPO_BASE_MPI_H
#define LSPO_BASE_MPI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mpi_plugin.h"
#include "base/status.h"

/* Has Open MPI's mpirun, MPICH's, or srun with either of their interfaces started several processes? */
bool lspo_mpi_is_launched(void);

/* This process among those of the job on the same machine, as the launcher says; else one of one. */
void lspo_mpi_local(uint32_t *rank_out, uint32_t *count_out);

/* LSPO_ERR_INPUT if the plug-in cannot be opened; `otherwise` ends the message. */
lspo_status_t lspo_mpi_open(const char *otherwise, const lspo_mpi_t **mpi_out);

#endif
