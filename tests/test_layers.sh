#!/bin/sh
# The layering rule: who may include whom (docs/architecture.md).  Every project include names its folder; arrows point
# downward only; CUDA headers appear in CUDA sources (and C named _cuda) alone.  The rule is tried on broken examples first, so that a
# check that finds nothing is known to be able to find something.
set -eu
source_dir=${LSPO_SOURCE:-$(dirname "$0")/..}

allowed() {
    case $1 in
    plan) echo plan ;;
    kernels) echo kernels ;;
    traces) echo traces plan ;;
    sim) echo sim traces plan ;;
    real) echo real traces plan kernels ;;
    cli) echo cli sim real traces plan ;;
    esac
}

# Print one line an offence of the tree at $1.
offences() {
    for folder in plan kernels traces sim real cli; do
        find "$1/$folder" -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | sort | while read -r file; do
            sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file" | while read -r include; do
                target=${include%%/*}
                case " $(allowed $folder) " in
                *" $target "*) ;;
                *) echo "$file includes \"$include\"" ;;
                esac
            done
            case $file in
            *.cu | *.cuh | *_cuda.[ch]) ;;
            *) sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]\(cu[bd][^>"]*\|cuda[^>"]*\|nv[^>"]*\)[>"].*/\1/p' "$file" |
                while read -r include; do echo "$file includes <$include>, but is no CUDA source"; done ;;
            esac
        done
    done
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

status=0
expect_offence() { # folder, include line
    mkdir -p "$scratch/plan" "$scratch/kernels" "$scratch/traces" "$scratch/sim" "$scratch/real" "$scratch/cli"
    echo "$2" > "$scratch/$1/example.c"
    if [ -z "$(offences "$scratch")" ]; then
        echo "the check misses $1: $2"
        status=1
    fi
    rm -f "$scratch/$1/example.c"
}
expect_offence sim '#include "real/run.h"'
expect_offence real '#include "sim/sim.h"'
expect_offence plan '#include "traces/trace.h"'
expect_offence kernels '#include "plan/model.h"'
expect_offence traces '# include "sim/sim.h"'
expect_offence sim '#include <cuda_runtime.h>'
expect_offence plan '#include <cublas_v2.h>'
expect_offence real '#include "device.h"'

found=$(offences "$source_dir")
if [ -n "$found" ]; then
    echo "$found"
    status=1
fi
exit $status
