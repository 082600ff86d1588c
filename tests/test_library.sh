#!/bin/bash
# liblspo as others build with it: the header in C99 and C++, what the library exports and needs, its answers beside
# those of `lspo sim`, and the examples.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
build=$(cd "$(dirname "$program")" && pwd)
[ -f "$build/liblspo.so" ] || { echo "skipped: no liblspo.so beside $program"; exit 77; }
# With a sanitizer, a program needs its run time, too.
sanitize=$(sed -n 's/^SANITIZE_CFLAGS = //p' "$build/Makefile")
compiler=$(sed -n 's/^CC = //p' "$build/Makefile")
header=$source_dir/lib/lspo.h

echo '#include "lspo.h"' > "$folder/header.c"
cp "$folder/header.c" "$folder/header.cc"
strict="-pedantic -Wall -Wextra -Werror -fsyntax-only"
# shellcheck disable=SC2086 # flags
$compiler -std=c99 $strict -Wstrict-prototypes -I"$source_dir/lib" "$folder/header.c"
# shellcheck disable=SC2086 # flags
! command -v g++ > /dev/null || g++ -std=c++98 $strict -Wno-long-long -I"$source_dir/lib" "$folder/header.cc"

# What can be called is what the header declares.
declared=$(sed -n 's/^LSPO_API .*[ *]\(lspo_[a-z_]*\)(.*/\1/p' "$header" | sort)
check "exported functions" "$declared" \
    "$(nm -D --defined-only "$build/liblspo.so" | sed -n 's/.* T \([^@]*\).*/\1/p' | grep -v '^_' | sort)"
check "functions in the map" "$declared" "$(grep -o 'lspo_[a-z_]*' "$source_dir/lib/lspo.map" | sort)"

# It needs no CUDA, BLAS, hwloc or PAPI, and does nothing to the process that calls it.
if [ -z "$sanitize" ]; then
    check "libraries that it needs" "" "$(readelf -d "$build/liblspo.so" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' |
        grep -vE '^(libc|libm|libjansson|libinih|libgsl|libgslcblas|ld-linux[^.]*)\.so' || true)"
    never="_?exit|_Exit|quick_exit|atexit|raise|kill|signal|sigaction|v?fork|system|popen|dlopen|setlocale|setenv|chdir"
    never="$never|srand|printf|vprintf|puts|putchar|perror"
    check "what it leaves alone" "" "$(nm -D --undefined-only "$build/liblspo.so" | sed 's/.* U //; s/@.*//' |
        grep -xE "$never" || true)"
    # Memory comes through lib/allocator.c.
    check "what allocates past its functions" "" "$(nm -D --undefined-only "$build/liblspo.so" |
        sed 's/.* U //; s/@.*//' | grep -xE "_*(calloc|strn?dup|v?asprintf|getline|getdelim|scandir|realpath|getcwd|\
open_w?memstream|posix_memalign|aligned_alloc|memalign|reallocarray)(_chk)?" || true)"
    check "where it searches" "" "$(readelf -d "$build/liblspo.so" | grep -E 'RPATH|RUNPATH' || true)"
fi

# shellcheck disable=SC2086 # flags
$compiler $sanitize -I"$source_dir/lib" -o "$folder/answer" "$source_dir/tests/lib/answer.c" -L"$build" -llspo \
    -Wl,-rpath,"$build"
# The same questions, asked of the library and of the command.
asked=0
# shellcheck disable=SC2162 # a backslash joins lines
while IFS='|' read request flags; do
    asked=$((asked + 1))
    # shellcheck disable=SC2086 # flags
    check "$request" "$("$program" sim $flags --format json)" \
        "$("$folder/answer" "$request" | sed '/^  "warnings": /d' | sed -z 's/,\n}/\n}/')"
done <<'END'
{}|
{"model": "llama-7b", "machine": "rtx4090", "subspace": 512}|--model llama-7b --machine rtx4090 --subspace 512
{"model": "llama-3b", "policy": "zero", "clip": 1, "gpu-memory": "4GiB"}|--model llama-3b --policy zero --clip 1 \
--gpu-memory 4GiB
{"policy": "zenflow", "framework": "deepspeed"}|--policy zenflow --framework deepspeed
{"task": "generate", "machine": "rtx4090"}|--task generate --machine rtx4090
{"policy": "native", "set": {"gpu.launch_s": "5us", "model.blocks": 20}}|--policy native --set gpu.launch_s=5us \
--set model.blocks=20
END
check "questions" 6 "$asked"

# A program whose locale writes numbers with commas.
comma=$(locale -a 2> /dev/null | grep -E '^(de_DE|fr_FR|es_ES|nl_NL)' | head -n 1 || true)
if [ -n "$comma" ]; then
    check "under $comma" "$("$folder/answer" '{"clip": 0.5, "ops": true}')" \
        "$(LC_ALL=$comma "$folder/answer" '{"clip": 0.5, "ops": true}')"
fi

# The examples; the one in C names every policy.
# shellcheck disable=SC2086 # flags
$compiler $sanitize -I"$source_dir/lib" -o "$folder/predict" "$source_dir/contrib/c/predict.c" -L"$build" -llspo \
    -Wl,-rpath,"$build"
check "policies of the example" "$("$program" list policies --format csv | awk -F, 'NR > 1 { print $1 }')" \
    "$("$folder/predict" gpt2-124m rtx4090 | awk '{ print $1 }')"
check "without arguments" 2 "$(status_of "$folder/predict")"
if command -v python3 > /dev/null && [ -z "$sanitize" ]; then
    export LSPO_LIBRARY=$build/liblspo.so PYTHONDONTWRITEBYTECODE=1
    python="$source_dir/contrib/python"
    check "policies from Python" "$("$folder/predict" gpt2-124m rtx4090 | awk '{ print $1 }')" \
        "$(python3 "$python/predict.py" gpt2-124m rtx4090 | awk '{ print $1 }')"
    check "rows of the sweep in Python" 7 "$(python3 "$python/sweep.py" | wc -l)"
    if python3 -c 'import matplotlib' 2> /dev/null; then
        python3 "$python/gantt.py" "$folder/gantt.png"
        check "picture" yes "$([ -s "$folder/gantt.png" ] && echo yes)"
    fi
    check "a fault in Python" "lspo.Error: unknown key 'modl'; did you mean 'model'?" \
        "$(cd "$python" && python3 -c 'import lspo; lspo.predict(modl=1)' 2>&1 | tail -n 1)"
fi
finish test_library
