/* data_folder.h - where the plots and experiments are that belong to this program. */
#ifndef LSPO_CLI_DATA_FOLDER_H
#define LSPO_CLI_DATA_FOLDER_H

#include <limits.h>

#include "base/status.h"

/* The folder that holds plots/ and experiments/: that of the sources for the program in its build folder; of an
 * installed one share/lspo beside its bin, wherever both have been moved to, else what configure was told. */
lspo_status_t lspo_data_folder(char path[PATH_MAX]);

#endif
