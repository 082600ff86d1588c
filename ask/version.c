/* version.c - see version.h.  Only this file is compiled again when the git id changes. */
#include "ask/version.h"

#include "ask/git_id.h"

const char lspo_version[] = PACKAGE_VERSION " (" LSPO_GIT_ID ")";
const char lspo_program_version[] = "lspo " PACKAGE_VERSION " (" LSPO_GIT_ID ")";
const char lspo_git_id[] = LSPO_GIT_ID;
