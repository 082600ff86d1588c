#!/bin/sh
# No two source files call each other, directly or through others: the functions that each object file of the build
# defines and needs must form no circle.  Calls through tables do not count.
# The check is tried on a made-up circle first.
set -eu

# Read "FILE SYMBOL TYPE" lines and print the edges of the circles: of those that are left when all that lead nowhere or
# come from nowhere are gone, each whose end leads back to its beginning.
circles() {
    awk '
    $3 ~ /^[TWi]$/ { if (!($2 in home)) home[$2] = $1; next }
    $3 == "U" { needs[$1 SUBSEP $2] = 1 }
    END {
        for (pair in needs) {
            split(pair, part, SUBSEP)
            if (!(part[2] in home)) continue
            from = part[1]; to = home[part[2]]
            if (from == to || (from, to) in edge) continue
            edge[from, to] = 1; out[from]++; into[to]++
        }
        do {
            gone = 0
            for (pair in edge) {
                split(pair, part, SUBSEP)
                if (out[part[2]] > 0 && into[part[1]] > 0) continue
                delete edge[pair]; out[part[1]]--; into[part[2]]--; gone = 1
            }
        } while (gone)
        for (pair in edge) {
            split(pair, part, SUBSEP)
            if (leads(part[2], part[1])) print part[1] " needs " part[2]
        }
    }
    function leads(from, to, seen, queue, first, last, pair, part) {
        queue[last = 1] = from; seen[from] = 1
        for (first = 1; first <= last; first++) {
            if (queue[first] == to) return 1
            for (pair in edge) {
                split(pair, part, SUBSEP)
                if (part[1] == queue[first] && !(part[2] in seen)) { seen[part[2]] = 1; queue[++last] = part[2] }
            }
        }
        return 0
    }' | sort
}

status=0
made_up='a.o f T
b.o g T
c.o h T
a.o g U
b.o h U'
[ -z "$(echo "$made_up" | circles)" ] || { echo "the check finds a circle where there is none"; status=1; }
[ -n "$(printf '%s\nc.o f U\n' "$made_up" | circles)" ] || { echo "the check misses a circle"; status=1; }

source_dir=${LSPO_SOURCE:-$(dirname "$0")/..}
# An object whose source is gone is left over from an older build.
folders='base kernels plan traces sim ask lib real sweep validate cli'
# shellcheck disable=SC2086 # a list
objects=$(find $folders -name '*.o' 2> /dev/null | while read -r object; do
    test ! -f "$source_dir/${object%.o}.c" || echo "$object"; done)
[ -n "$objects" ] || { echo "skipped: not run in a build folder"; exit 77; }
found=$(nm -A -P $objects 2> /dev/null | sed 's/: / /' | awk '{ print $1, $2, $3 }' | circles)
if [ -n "$found" ]; then
    echo "files that call each other, directly or through others:"
    echo "$found"
    status=1
fi
exit $status
