/* version.h - which lspo this is. */
#ifndef LSPO_ASK_VERSION_H
#define LSPO_ASK_VERSION_H

/* "0.1.0 (1a2b3c4d)": the release and the git id of the sources. */
extern const char lspo_version[];
/* "lspo 0.1.0 (1a2b3c4d)". */
extern const char lspo_program_version[];
/* "1a2b3c4d"; "release" for sources without git. */
extern const char lspo_git_id[];

#endif
