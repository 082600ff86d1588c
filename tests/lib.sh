# lib.sh - code shared by script tests.  A test sources it first:
#
#     set -euo pipefail
#     . "$(dirname "$0")/lib.sh"
#
# source_dir is the source tree, program is lspo, folder is an empty folder that is removed when the test ends.
export LC_ALL=C
source_dir=$(cd "${LSPO_SOURCE:-$(dirname "$0")/..}" && pwd)
program=${LSPO:-$(command -v lspo || true)}
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder" 2> /dev/null || true; rm -rf "$folder"' EXIT
failures=0
# What the mpirun of Open MPI 4, and of 5, wants to be told of a small machine; that of MPICH needs nothing.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe

# check NAME EXPECTED GOT: what differs is told, and the test goes on.
check() {
    if [ "$2" != "$3" ]; then
        printf 'FAIL %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3" >&2
        failures=$((failures + 1))
    fi
}

# finish NAME: the last line of a test that calls check.
finish() {
    [ "$failures" -gt 0 ] || echo "$1: all checks passed"
    exit $((failures > 0))
}

# fail TEXT: ends the test.
fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# status_of COMMAND: prints its exit status; what it wrote is in $folder/stdout and $folder/messages.
status_of() {
    if "$@" > "$folder/stdout" 2> "$folder/messages"; then echo 0; else echo $?; fi
}
