#!/usr/bin/env bash
# The GNUmakefile in folders with odd names: blanks are taken, what make or a shell would read as more than a name is
# refused, and nothing of a name is ever run as a command.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# make in a copy of the tree whose configure only notes where it was run from, and whose Makefile notes what it is
# given.
build_in() { # build_in NAME [ARGUMENT...]
    local tree=$folder/$1
    shift
    mkdir -p "$tree"
    cp "$source_dir/GNUmakefile" "$tree/"
    touch "$tree/packages.debian" "$tree/configure.ac" "$tree/Makefile.am"
    mkdir -p "$tree/part" "$tree/tests/part"
    touch "$tree/part/local.am" "$tree/tests/part/local.am"
    cat > "$tree/configure" << 'CONFIGURE'
#!/bin/sh
echo "$0" > configured
printf 'all:\n\t@:\nexperiments:\n\t@echo "$$RESULTS_FOLDER" > results\n' > Makefile
CONFIGURE
    chmod +x "$tree/configure"
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u RESULTS -u RESULTS_FOLDER -u CONFIGURE_FLAGS \
        make -s -C "$tree" experiments "$@" > "$folder/out" 2>&1 && echo built || echo refused
}

check "a plain name" built "$(build_in plain)"
check "the usual folder of results" "$folder/plain/results" "$(cat "$folder/plain/build/results")"
check "a name with blanks" built "$(build_in 'a name with  blanks')"
check "configure gets a relative path" ../configure "$(cat "$folder/a name with  blanks/build/configured")"
check "results with blanks and quotes" built "$(build_in results "RESULTS=it's \"here\"; touch harm")"
check "reach the experiments as they are" "$folder/results/it's \"here\"; touch harm" \
    "$(cat "$folder/results/build/results")"
check "an absolute folder of results" "built /tmp/x y" \
    "$(build_in absolute 'RESULTS=/tmp/x y') $(cat "$folder/absolute/build/results")"
check "flags for configure" built "$(build_in flags 'CONFIGURE_FLAGS=--prefix=/x  --y')"
check "the same again" built "$(build_in flags 'CONFIGURE_FLAGS=--prefix=/x --y')"
check "none: those that it has" built "$(build_in flags)"
check "others, which would not be heard" refused "$(build_in flags CONFIGURE_FLAGS=--prefix=/z)"
check "says which it has" 1 "$(grep -c "configured with CONFIGURE_FLAGS='--prefix=/x --y'" "$folder/out")"
for name in "it's" 'a"b' 'a$(touch harm)b' 'a`touch harm`b' 'a;touch harm' 'a#b' 'a\b' 'a*b'; do
    check "the name $name" refused "$(build_in "$name")"
    check "says why" 1 "$(grep -c 'cannot handle' "$folder/out")"
done
check "a build folder with blanks" refused "$(build_in build 'BUILD=a b')"
check "no name is run as a command" "" "$(find "$folder" . -maxdepth 2 -name harm)"

finish bootstrap
