#!/bin/bash
# make check-dist: dist_alone.sh TARBALL.  It builds where there is no git, no autoconf and nothing of theirs, and twice
# in one place with the same bytes.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
tarball=$(realpath "$1")

# All programs of PATH but those; links to ccache would look for the compiler behind themselves in PATH.
mkdir "$folder/path"
while read -r place; do
    find -H "$place" -maxdepth 1 -executable ! -type d ! -name 'git*' ! -name 'auto*' ! -name 'aclocal*' \
        ! -name 'm4' ! -name 'ifnames' ! -name 'libtool*' ! -lname '*/ccache' \
        -exec ln -sf -t "$folder/path" {} + 2> /dev/null || true
done < <(tr : '\n' <<< "$PATH" | tac)
export PATH=$folder/path CCACHE_DISABLE=1
for name in git autoconf automake autoreconf m4; do
    check "no $name" "" "$(command -v $name || true)"
done

built() { # checksums of the programs of one build
    rm -rf "$folder/source"
    mkdir -p "$folder/source/build"
    tar -C "$folder/source" --strip-components=1 -xf "$tarball"
    (cd "$folder/source/build" && ../configure -q --with-cuda=no && make -j"$(nproc)" all) > "$folder/log" 2>&1 ||
        { tail -n 20 "$folder/log" >&2; return 1; }
    (cd "$folder/source/build" && sha256sum lspo liblspo.so man/*)
}
first=$(built)
check "a release" "(release, no-cuda)" "$("$folder/source/build/lspo" version | cut -d' ' -f3-)"
check "it predicts" 0 "$(status_of "$folder/source/build/lspo" sim --model gpt2-124m)"
check "another build has the same bytes" "$first" "$(built)"
finish dist_alone
