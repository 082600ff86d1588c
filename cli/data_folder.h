/* data_folder.h - find the folder of this program's plots, experiments and parts of the report. */
#ifndef LSPO_CLI_DATA_FOLDER_H
#define LSPO_CLI_DATA_FOLDER_H

#include <limits.h>

#include "base/status.h"

/* The folder with plots/, experiments/ and report/: the sources, for the program in its build folder; for an installed
 * program share/lspo beside its bin, even after both were moved, or else the folder given to configure. */
lspo_status_t lspo_data_folder(char path[PATH_MAX]);

#endif
