#!/bin/sh
# The layering rule: who may include whom (docs/architecture.md).  Every project include names its folder; arrows point
# downward only; CUDA headers appear in CUDA sources (and C named _cuda) alone.  The rule is tried on broken examples
# first, so that a check that finds nothing is known to be able to find something.
set -eu
source_dir=${LSPO_SOURCE:-$(dirname "$0")/..}

# The folders from the lowest to the highest: what each may include beside itself.
allowed() {
    case $1 in
    base) ;;
    kernels) echo base ;;
    plan | plan/policies) echo base plan plan/policies ;;
    plan/families) echo base plan plan/policies ;;
    traces) echo base plan plan/policies ;;
    traces/import) echo base plan plan/policies traces ;;
    sim) echo base plan plan/policies traces ;;
    real/machine) echo base plan plan/policies traces ;;
    real/device) echo base plan plan/policies kernels real/machine ;;
    real/execute) echo base plan plan/policies traces real/machine real/device ;;
    real/transformer) echo base plan plan/policies kernels real/device ;;
    real/generate) echo base plan plan/policies kernels real/device real/transformer ;;
    real/tokenizer) echo base ;;
    real/formats) echo base plan plan/policies kernels real/tokenizer ;;
    real/data) echo base kernels real/tokenizer ;;
    real/session) echo base plan plan/policies kernels real/device real/execute real/transformer real/data ;;
    real/methods)
        echo base plan plan/policies kernels real/device real/execute real/transformer real/data real/session ;;
    real/train)
        echo base plan plan/policies traces kernels real/machine real/device real/execute real/transformer \
            real/formats real/data real/generate real/session real/methods ;;
    real/calibrate)
        echo base plan plan/policies traces kernels real/machine real/device real/execute real/transformer \
            real/train ;;
    ask) echo base plan plan/policies traces sim real/formats ;;
    lib) echo base plan plan/policies sim ask ;;
    sweep) echo base plan plan/policies ;;
    validate)
        echo base plan plan/policies traces sim sweep real/machine real/device real/train real/calibrate ;;
    report | sql) echo base ;;
    cli)
        echo base plan plan/policies traces traces/import sim ask real/machine real/device real/tokenizer real/formats \
            real/data real/generate real/train real/calibrate sweep validate report sql ;;
    esac
}
folders='base kernels plan plan/policies plan/families traces traces/import sim real/machine real/device real/execute
real/transformer real/generate real/tokenizer real/formats real/data real/session real/methods real/train
real/calibrate ask lib sweep validate report sql cli'

# Each folder and what its files may include, on a line of its own.
rules=$(for folder in $folders; do echo "$folder $(allowed "$folder")"; done)

# Print one line an offence of the tree at $1.
offences() {
    (cd "$1" && find $folders -maxdepth 1 '(' -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' ')' | sort) |
    RULES=$rules awk -v root="$1" '
        BEGIN {
            count = split(ENVIRON["RULES"], line, "\n")
            for (i = 1; i <= count; i++) {
                fields = split(line[i], field, " ")
                for (k = 1; k <= fields; k++)
                    may[field[1], field[k]] = 1
            }
        }
        function folder_of(path) { return sub("/[^/]*$", "", path) ? path : "." }
        {
            file = root "/" $0
            folder = folder_of($0)
            is_cuda = $0 ~ /\.cuh?$|_cuda\.[ch]$/
            while ((getline text < file) > 0) {
                if (text !~ /^[ \t]*#[ \t]*include[ \t]*[<"]/)
                    continue
                sub(/^[ \t]*#[ \t]*include[ \t]*/, "", text)
                opened = substr(text, 1, 1)
                name = substr(text, 2)
                sub(/[>"].*/, "", name)
                if (opened == "\"" && !((folder, folder_of(name)) in may))
                    print file " includes \"" name "\""
                if (!is_cuda && name ~ /^(cu[bd]|cuda|nv)/)
                    print file " includes <" name ">, but is no CUDA source"
            }
            close(file)
        }'
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

status=0
expect_offence() { # folder, include line
    for folder in $folders; do mkdir -p "$scratch/$folder"; done
    echo "$2" > "$scratch/$1/example.c"
    if [ -z "$(offences "$scratch")" ]; then
        echo "the check misses $1: $2"
        status=1
    fi
    rm -f "$scratch/$1/example.c"
}
expect_offence sim '#include "real/train/run.h"'
expect_offence real/train '#include "sim/sim.h"'
expect_offence real/device '#include "real/execute/play.h"'
expect_offence base '#include "plan/model.h"'
expect_offence plan '#include "traces/trace.h"'
expect_offence kernels '#include "plan/model.h"'
expect_offence traces '# include "sim/sim.h"'
expect_offence sim '#include <cuda_runtime.h>'
expect_offence plan '#include <cublas_v2.h>'
expect_offence real/device '#include "device.h"'
expect_offence real/session '#include "real/methods/methods.h"'
expect_offence real/methods '#include "real/train/train.h"'
expect_offence validate '#include "ask/args.h"'
expect_offence validate '#include "cli/command.h"'
expect_offence sim '#include "validate/grid.h"'
expect_offence ask '#include "real/device/device.h"'
expect_offence sim '#include "ask/request.h"'
expect_offence lib '#include "cli/command.h"'

found=$(offences "$source_dir")
if [ -n "$found" ]; then
    echo "$found"
    status=1
fi
exit $status
