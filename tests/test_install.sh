#!/bin/bash
# make install and make uninstall, in a folder of their own.  The installed program is moved, so that it finds nothing
# by the names that configure was told, and run with the build folder hidden where the system lets us hide it.
set -eu
build=$(cd "$(dirname "${LSPO:-./lspo}")" && pwd)
LC_ALL=C
export LC_ALL
[ -f "$build/Makefile" ] || { echo "skipped: no Makefile beside $build/lspo, so nothing can be installed"; exit 77; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() {
    echo "$*"
    exit 1
}
quietly() {
    "$@" >"$scratch/log" 2>&1 || { cat "$scratch/log"; fail "failed: $*"; }
}
unset MAKEFLAGS MFLAGS

quietly make -C "$build" install DESTDIR="$scratch/root" prefix=/opt/lspo
[ "$(ls "$scratch/root")" = opt ] || fail "installed outside the prefix: $(ls "$scratch/root")"
cp -r "$scratch/root/opt/lspo" "$scratch/moved to here"
home="$scratch/moved to here"

# What there is: a man page for every command, completion, plots, experiments, documents, the licence.
"$home/bin/lspo" help --pages | while read -r page; do
    [ -s "$home/share/man/man1/lspo-${page// /-}.1" ] || fail "no man page of lspo $page"
done
for file in man/man1/lspo.1 bash-completion/completions/lspo zsh/site-functions/_lspo \
    fish/vendor_completions.d/lspo.fish lspo/machines/rtx4090.ini lspo/machines/cards/rtx4090.ini \
    lspo/machines/hosts/host-core.ini lspo/models/llama-7b.ini lspo/plots/calibrate.gp lspo/report/page.css \
    lspo/experiments/sim-vs-host/grid doc/lspo/README.md doc/lspo/LICENSE doc/lspo/CITATION.cff \
    doc/lspo/docs/simulator.md doc/lspo/docs/pictures/sim-vs-host.png; do
    [ -s "$home/share/$file" ] || fail "share/$file is not installed"
done
[ -x "$home/share/lspo/experiments/run.sh" ] || fail "experiments/run.sh is not executable"
# Every relative link of an installed document leads to an installed file.
links=0
while IFS= read -r document; do
    while IFS= read -r link; do
        links=$((links + 1))
        [ -f "$(dirname "$document")/$link" ] || fail "$document links to $link, which is not installed"
    done < <(grep -oE '\]\([^)#]+' "$document" | sed 's/^](//' | grep -vE '^[a-z]+:')
done < <(find "$home/share" -name '*.md')
[ "$links" -ge 10 ] || fail "only $links links were found in the installed documents"
if command -v man >/dev/null; then
    for page in "$home"/share/man/man1/*.1; do
        warnings=$(MANWIDTH=200 man --warnings -l "$page" 2>&1 >/dev/null)
        [ -z "$warnings" ] || fail "$page: $warnings"
    done
fi

# Another program is built with the library, wherever that is.
export PKG_CONFIG_PATH=$home/lib/pkgconfig
[ "$(pkg-config --modversion lspo)" = "$("$home/bin/lspo" version | awk '{ print $2; exit }')" ] || fail "lspo.pc"
# shellcheck disable=SC2046 # flags; in the moved folder, whose name has blanks
quietly cc -o "$scratch/predict" "$home/share/doc/lspo/contrib/c/predict.c" "-I$home/include" "-L$home/lib" -llspo \
    "-Wl,-rpath,$home/lib" $(sed -n 's/^SANITIZE_CFLAGS = //p' "$build/Makefile")
"$scratch/predict" gpt2-124m rtx4090 | grep -q "^zero " || fail "the example of the library"

# The moved program finds its own data and does not need the build folder.
cat >"$scratch/use" <<'END'
set -eu
PATH=$1/bin:$PATH
data=$(lspo version --data)
[ "$data" = "$1/share/lspo" ] || { echo "data in $data, not in $1/share/lspo"; exit 1; }
lspo sim --model llama-7b --machine rtx4090 --policy lsp --trace sim.trace >/dev/null
lspo choose --model gpt2-774m --machine paper-laptop >/dev/null
lspo show machine rtx4090 >mine.ini
lspo show machine "$1/share/lspo/machines/rtx4090.ini" | diff - mine.ini
lspo sim --machine mine.ini --policy zero >/dev/null
lspo trace export sim.trace --perfetto sim.json
lspo run --model gpt-tiny --policy zero --batch 1 --sequence 16 --iterations 5 --timing-only >/dev/null
END
mkdir "$scratch/work"
cd "$scratch/work"
if unshare -m true 2>/dev/null && unshare -m mount -t tmpfs none "$build" 2>/dev/null; then
    unshare -m sh -c 'mount -t tmpfs none "$1" && exec bash "$2" "$3"' sh "$build" "$scratch/use" "$home"
else
    echo "the build folder could not be hidden here"
    bash "$scratch/use" "$home"
fi
echo "set -eu; . '$home/share/lspo/experiments/lib.sh'; test -f \"\$plots_dir/style.gp\"" >lib
RESULTS=$scratch/work/results LSPO=$home/bin/lspo bash lib || fail "installed experiments do not find the plots"

quietly make -C "$build" uninstall DESTDIR="$scratch/root" prefix=/opt/lspo
left=$(find "$scratch/root" ! -type d)
[ -z "$left" ] || fail "make uninstall leaves $left"
