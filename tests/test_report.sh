#!/bin/bash
# lspo report: a small folder of results, made here, and what the page must say of it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
results=$folder/results
page=$results/report.html

# record NAME RUN [STATUS]
record() {
    mkdir -p "$results/$1"
    {
        printf '%s\n' '[run]' "command = experiments/run.sh $1" "run = $2" "started = $2" 'lspo = 9.9 (abc)' \
            'gnuplot = 5.4' 'machine = a <slow> & "old" one' 'seconds = 7'
        [ $# -lt 3 ] || echo "status = $3"
    } > "$results/$1/run.ini"
}
svg() { # NAME [BYTES of padding]
    {
        echo '<?xml version="1.0"?>'
        echo '<svg width="30" height="20" xmlns="http://www.w3.org/2000/svg"><text>&lt;mark&gt; "q" 100%</text>'
        printf '<desc>%s</desc></svg>\n' "$(head -c "${2:-0}" /dev/zero | tr '\0' x)"
    } > "$results/$1"
}
mkdir "$results"
touch "$results/.lspo-experiments"
printf '%s\n' good bad broken cut old open absent > "$results/figures"

record good 2026-02-02T00:00:00Z 0
cat > "$results/good/README.md" << 'MARKDOWN'
# Figure 1: `code` & <script>alert("title")</script>

**The paper** has <script>alert(1)</script> and *emphasis*, 2 * 3 * 4, [a link](https://example.org/?a=1&b="2"),
[another figure](../bad/README.md), [no place](javascript:alert(1)) and `a < b`:
1. one
2. two **strong
   over lines**, `--a|b`
   - within

| name | value |
| --- | --- |
| `a\|b` | <b>1</b> |

    indented <i>code</i>

```
fenced </pre> code
```
MARKDOWN
printf '%s\n' '  numbers <b>1.50</b> & 2' '  holds a < b for every "model"' '  FAILSafe is no claim' \
    '  holdsx nor this' 'holds nor this' '  yes   not required, and so' \
    '  no    not required, and not so' '  yes   a mean of [two] [95 %: 1 to <2>]' '  yes   alone [one run]' \
    '  yes   no one [no run]' \
    '  yes   smaller, at this scale' '  no    larger, at this scale' '  holds always, at this scale' \
    '  undecided what [two] runs say [95 %: -1 to 1]' '  undecidedly so' \
    '  yes   [in brackets]' > "$results/good/output.txt"
svg good/good.svg
printf '%s\n' 'name,value' '"a, ""<script>alert(2)</script>""",1.5' '</table>,2' > "$results/good/good.csv"
{ echo row; seq 25; } > "$results/good/further.csv"
printf '%s\n' a,b,c 1,,2 ,,3 > "$results/good/sparse.csv"
echo text > "$results/good/notes.txt"

record bad 2026-02-02T00:00:00Z 1
printf '%s\n' '  holds first' '  FAILS second & third' '  FAILS fourth' > "$results/bad/output.txt"
record broken 2026-02-02T00:00:00Z 2
printf '%s\n' '  holds first' 'run.sh: lspo failed' > "$results/broken/output.txt"
record cut 2026-02-02T00:00:00Z
printf '%s\n' '  holds first' > "$results/cut/output.txt"
printf '%s\n' a,b 1,2 3 > "$results/cut/half.csv"
record old 2026-01-01T00:00:00Z 0
record open 2026-02-02T00:00:00Z 0
printf '%s\n' '  undecided this [95 %: -1 to 1]' '  undecided that [95 %: -1 to 2]' '  no    the other' \
    > "$results/open/output.txt"
printf 'model,fastest,limited_by\nllama,lsp,\n' > "$results/trains.csv"

report() { "$program" report "$@"; }
check "a report" 0 "$(status_of report "$results")"
check "what it says of it" "$page: 7 figures and tables, of which 2 do not hold; 5 claims hold, 2 do not, 3 undecided" \
    "$(cat "$folder/stdout")"
has() { # NAME TEXT
    grep -qF -- "$2" "$page" || check "$1" "$2" "not in the page"
}

# ---- HTML, by a check that is tried on broken pages first ----
wrong() { awk -f "$source_dir/tests/html.awk" "$1"; }
for change in 's/<b>/<b><i>/' 's/class="b"/class=b/' 's/&amp;/\&/' 's/id="y"/id="x"/' 's/#x/#z/' 's/ alt="t"//' \
    's|</p>||' 's/data:image/http:image/' 's/text/a > b/'; do
    { echo '<!DOCTYPE html>'; echo '<html lang="en"><body><p id="x" class="b">text &amp; <b>so</b></p>'; \
        echo '<p id="y"><a href="#x">up</a><img alt="t" src="data:image/png,"></p></body></html>'
    } > "$folder/right.html"
    sed "$change" "$folder/right.html" > "$folder/wrong.html"
    [ -n "$(wrong "$folder/wrong.html")" ] || check "a broken page" "something wrong with $change" ""
done
check "a page that is right" "" "$(wrong "$folder/right.html")"
check "the page is HTML" "" "$(wrong "$page")"
check "scripts that run" 0 "$(grep -c 'alert([12])</script>' "$page" || true)"
has "a README with a script" '&lt;script&gt;alert(1)&lt;/script&gt;'
has "a CSV with a script" 'a, &quot;&lt;script&gt;alert(2)&lt;/script&gt;&quot;'
has "a title with a script" \
    '<h2>Figure 1: <code>code</code> &amp; &lt;script&gt;alert(&quot;title&quot;)&lt;/script&gt;</h2>'
has "the machine" 'a &lt;slow&gt; &amp; &quot;old&quot; one'

# ---- Markdown ----
has "strong, emphasis and stars" '<strong>The paper</strong>'
has "stars that mean nothing" '<em>emphasis</em>, 2 * 3 * 4,'
has "a link" '<a href="https://example.org/?a=1&amp;b=&quot;2&quot;">a link</a>'
has "a link to a figure" '<a href="#bad">another figure</a>'
has "a link that leads nowhere" 'no place and <code>a &lt; b</code>:</p>'
has "a list" '<ol>'
has "a list within it" '<li><p>within</p>'
has "a bar in a cell" '<tr><td><code>a|b</code></td><td>&lt;b&gt;1&lt;/b&gt;</td></tr>'
has "indented code" '<pre>indented &lt;i&gt;code&lt;/i&gt;'
has "fenced code" '<pre>fenced &lt;/pre&gt; code'

# ---- claims and verdicts, counted again from what was printed ----
counted() { # WORD: lines of require() in all figures
    cat "$results"/*/output.txt | awk -v word="$1" '{ found += index($0, sprintf("  %-5s ", word)) == 1 }
        END { print found + 0 }'
}
shown() { sed -n '/<main>/,$p' "$page" | grep -c "<li><span class=\"$1\">$2</span>" || true; }
check "claims that hold" "$(counted holds)" "$(shown holds holds)"
check "claims that do not" "$(counted FAILS)" "$(shown fails "does not hold")"
check "those that are not required" "$(counted yes)" "$(($(shown seen yes) + $(shown seen "holds at this scale")))"
check "and not so" "$(counted no)" "$(($(shown seen no) + $(shown seen "does not hold at this scale")))"
check "of them at this scale" "1 1" "$(shown seen "holds at this scale") $(shown seen "does not hold at this scale")"
has "their sums" "<strong id=\"claims-hold\">$(counted holds)</strong>"
has "and of those that do not hold" "<strong id=\"claims-fail\">$(counted FAILS)</strong>"
check "failures on the first screen" 2 \
    "$(sed -n '1,/<main>/p' "$page" | grep -c '<li><span class="fails">does not hold</span> <a href="#bad">bad</a>: ')"
verdict() { sed -n "/<section id=\"$1\">/,/<\/section>/p" "$page" | sed -n 's|^<p>\(<span class.*\)</p>$|\1|p'; }
check "claims that are undecided" 3 "$(shown open undecided)"
has "on the first screen, too" '<h3>Undecided claims</h3>'
has "and their number" '<strong id="claims-undecided">3</strong> are undecided'
has "figures of which none is decided do not hold" \
    'figures and tables <strong>2</strong> hold, <strong>1</strong> is undecided, <strong>1</strong> does not hold,'
check "a figure that holds" '<span class="holds">holds</span>: 2 of 2 claims, 1 undecided' "$(verdict good)"
check "one that is undecided" '<span class="open">undecided</span>: 2 claims' "$(verdict open)"
check "one that does not" '<span class="fails">does not hold</span>: 1 of 3 claims' "$(verdict bad)"
check "one that ended with an error" \
    '<span class="fails">ended with an error</span>: 1 of 1 claims until then; exit status 2' "$(verdict broken)"
check "one that was interrupted" '<span class="open">interrupted</span>: 1 of 1 claims until then' "$(verdict cut)"
has "its half CSV" "half.csv:3: "
check "one of an earlier run" \
    '<span class="holds">holds</span> <strong>From an earlier run, of 2026-01-01T00:00:00Z.</strong>' "$(verdict old)"
has "one that was not run" '<code>experiments/run.sh absent</code> makes them.'
has "what was printed" '  numbers &lt;b&gt;1.50&lt;/b&gt; &amp; 2'
has "the interval of a claim" 'a mean of [two] <small>[95 %: 1 to &lt;2&gt;]</small>'
has "a claim without repetition" 'alone <small>[one run]</small>'
has "a claim of nothing" 'no one <small>[no run]</small>'
has "brackets that are none" '[in brackets]</li>'
has "the rows" 'further.csv: 25 rows, the first 10 here'
check "columns without values" '<tr><th scope="col">a</th><th scope="col">c</th></tr>
<tr><td class="number">1</td><td class="number">2</td></tr>
<tr><td></td><td class="number">3</td></tr>
<p class="small">Without values, and not shown: 1 column.</p>' "$(sed -n '/^<details.*sparse.csv/,/^<p>/p' "$page" |
    grep -o '<tr>.*</tr>\|<p class.*')"
check "what can be trained, and that a column has no values" '<tr><td>llama</td><td>lsp</td></tr>
<p class="small">Without values, and not shown: 1 column.</p>' \
    "$(grep -A2 '<tr><td>llama<' "$page" | grep -v '^</tbody>')"
has "other files" '<a href="good/notes.txt">notes.txt</a>, 5 bytes'

# ---- what is inside ----
unescape() { sed 's/%/\\x/g' | xargs -0 printf '%b'; }
sed -n 's/.*href="data:text\/csv;charset=utf-8,\([^"]*\)">good.csv.*/\1/p' "$page" | unescape > "$folder/good.csv"
check "the CSV in the page" "$(cat "$results/good/good.csv")" "$(cat "$folder/good.csv")"
sed -n 's/.*src="data:image\/svg+xml;charset=utf-8,\([^"]*\)".*/\1/p' "$page" | unescape > "$folder/good.svg"
check "the picture in the page" "$(tail -n +2 "$results/good/good.svg")" "$(cat "$folder/good.svg")"
check "a page elsewhere" 0 "$(status_of report "$results" -o "$folder/else where.html")"
check "leads to the results" 1 \
    "$(grep -c "href=\"file://$results/good/notes.txt\"" "$folder/else where.html")"

# gnuplot's script is inside once, without its path; one that is not there is a warning.
script=$folder/gnuplot_svg.js
icon="<image x='1' /><image x='10' xlink:href='data:image/png;base64,iVBO' onclick='gnuplot_svg.toggleGrid();'/>"
echo 'var gnuplot_svg = {};' > "$script"
sed -i "s|<desc>|<script type=\"text/javascript\" xlink:href=\"$script\"/>$icon<desc>|" "$results/good/good.svg"
check "an interactive picture" 0 "$(status_of report "$results")"
check "gnuplot's script" "1 0" "$(grep -c '^var gnuplot_svg = {};$' "$page") $(grep -c "$script" "$page" || true)"
check "without gnuplot's icon" "1 0" \
    "$(grep -c "%3Cimage%20x='1'%20/%3E%3Cdesc" "$page") $(grep -c toggleGrid "$page" || true)"
check "the page is HTML still" "" "$(wrong "$page")"
echo '"</script>"' > "$script"
check "a script that would end the page's" "0 1" \
    "$(status_of report "$results") $(grep -c 'cannot be put into a page' "$folder/messages")"
check "is left out" 0 "$(grep -c 'id="gnuplot-script"' "$page" || true)"
rm "$script"
check "a script that is not there" "0 1" "$(status_of report "$results") $(grep -c 'gnuplot-data' "$folder/messages")"

# ---- size: large files are compressed; what is still too large stays outside, CSV first ----
svg good/good.svg 6000000
{ echo text; seq 400000; } > "$results/good/further.csv"
check "much to show" 0 "$(status_of report "$results")"
[ "$(stat -c %s "$page")" -lt 5000000 ] || check "the size" "below 5 MB" "$(stat -c %s "$page")"
has "the large picture is beside the page" ' src="good/good.svg"'
has "and inside, compressed" ' data-svg="'
packed() { # ATTRIBUTE: what is in the first one: zlib's format is gzip's between a head of 2 bytes and a sum of 4
    sed -n "s/.* $1=\"\([^\"]*\)\".*/\1/p" "$page" | head -n 1 | base64 -d | tail -c +3 |
        { printf '\x1f\x8b\x08\0\0\0\0\0\0\0'; cat; } | gzip -dc 2> /dev/null || true
}
check "it is the picture" "$(tail -n +2 "$results/good/good.svg" | sha256sum)" "$(packed data-svg | sha256sum)"
check "the large CSV is inside, compressed" "$(sha256sum < "$results/good/further.csv")" \
    "$(packed data-csv | sha256sum)"
has "and named in the folder for browsers without scripts" ' href="good/further.csv">further.csv</a>, 2.7 MB, in this'
rm "$results/good/good.svg"
awk 'BEGIN { for (i = 0; i < 5000; i++) printf "%s%.9g\n", i ? "" : "x\n", 1e6 * rand() }' > "$results/good/further.csv"
for i in $(seq 80); do cp "$results/good/further.csv" "$results/good/further-$i.csv"; done
check "81 CSV of 50 kB" 0 "$(status_of report "$results")"
[ "$(stat -c %s "$page")" -lt 4000000 ] || check "with room to spare" "below 4 MB" "$(stat -c %s "$page")"
check "are all inside" "81 83" "$(grep -c 'kB, in this page' "$page") $(grep -c ', in this page' "$page")"
rm "$results"/good/further-*.csv
svg good/good.svg 6000000
head -c 3800000 /dev/urandom | base64 > "$folder/noise"
{ echo text; cat "$folder/noise"; } > "$results/good/further.csv"
check "too much to show" 0 "$(status_of report "$results")"
[ "$(stat -c %s "$page")" -lt 5000000 ] || check "the size" "below 5 MB" "$(stat -c %s "$page")"
has "the large CSV is beside the page" \
    '<a download="further.csv" href="good/further.csv">further.csv</a>, 5.1 MB, in the folder'
has "the small CSV is inside" 'charset=utf-8,name,value'
rm "$results/good/further.csv" "$results/good/good.svg"
cp "$folder/noise" "$results/good/output.txt"
check "more than fits was printed" "2 1" \
    "$(status_of report "$results") $(grep -c 'it may have 5000000' "$folder/messages")"
echo > "$results/good/output.txt"

# ---- what cannot be read ----
refused() { # NAME MESSAGE: by `report "$results"`
    check "$1" "2 1" "$(status_of report "$results") $(grep -c -- "$2" "$folder/messages" || true)"
}
printf '%s\n' a,b 1,2 3 > "$results/good/half.csv"
refused "a CSV that ends early" "good/half.csv:3: "
rm "$results/good/half.csv"
echo "no picture" > "$results/good/good.svg"
refused "no picture" "good/good.svg: no SVG with a width and a height"
rm "$results/good/good.svg"
mkdir "$results/good/none.csv"
check "a folder is no CSV" 0 "$(status_of report "$results")"
echo 'status = 300' >> "$results/cut/run.ini"
refused "a status that cannot be" "run.ini:9: status = 300: a number from 0 to 255"
printf '%s\n' '[run]' 'colour = red' > "$results/cut/run.ini"
refused "an unknown key" "run.ini:2: unknown key 'colour'"
rm "$results/cut/run.ini"
echo ../../etc >> "$results/figures"
refused "a name that is none" "figures:8: '../../etc': not the name of a figure"
printf '%s\n' good bad good > "$results/figures"
refused "a name twice" "figures:3: 'good' is there twice"
rm "$results/figures"
refused "no list of figures" "figures"
results=$folder/none
refused "no folder" "none': No such file or directory"
mkdir "$results"
refused "a folder of something else" "no .lspo-experiments in it"
check "no folder given" 2 "$(status_of report)"

finish report
