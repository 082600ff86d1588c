#!/bin/bash
# make check-report, or report_in_browser.sh RESULTS for an evaluation: a page of lspo report in Chromium, without a
# window, opened from its file: report_in_browser.js clicks, turns the wheel and measures in it, as wide as a desktop
# and as a phone; no message may be on the console.  Exit status 77 without Chromium or gnuplot.  With KEEP=FOLDER the
# page and screenshots stay there.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$chromium" ] && command -v gnuplot > /dev/null || { echo "skipped: no Chromium or no gnuplot"; exit 77; }
page=${KEEP:-$folder}
results=${1:-$page/results}
mkdir -p "$page"

# Line charts, bars, and a Gantt chart, both sides of which are simulated here.
small_results() {
    LSPO=$program RESULTS=$results "$source_dir/experiments/run.sh" fig2 fig7 bandwidth > "$folder/run.txt"
    gantt
    if command -v python3 > /dev/null; then
        check "all claims, judged again" "claims: 30, 0 differences" \
            "$(PYTHONDONTWRITEBYTECODE=1 python3 "$source_dir/tests/peers/claims_peer.py" "$results")"
    fi
    RESULTS=$results LSPO=$program bash -c '. "$0/lib.sh"; print_report' "$source_dir/experiments"
    check "as a PDF" %PDF "$(head -c 4 "$results/report.pdf")"
}
gantt() (
    LSPO=$program RESULTS=$results
    . "$source_dir/experiments/lib.sh"
    for side in sim run; do
        "$LSPO" sim --model gpt-tiny --machine paper-laptop --policy lsp --subspace 64 --trace "$folder/trace" \
            --gantt "$results/fig2/lsp.$side.csv" --first 4 --count 2 > /dev/null
    done
    plot gantt "$results/fig2/lsp" policy=lsp note="2 iterations"
)
[ $# -gt 0 ] || small_results
"$program" report "$results" -o "$page/report.html" > /dev/null
{ grep -vE '^</(body|html)>$' "$page/report.html"; echo "<script>"; cat "$source_dir/tests/report_in_browser.js"
    echo "</script></body></html>"; } > "$page/tried.html"

browse() { # OPTION...
    timeout 120 "$chromium" --headless --no-sandbox --disable-gpu --user-data-dir="$folder/profile" \
        --enable-logging=stderr --virtual-time-budget=300000 --window-size=1400,1000 "$@" 2> "$folder/messages"
}
for width in 1280 390; do
    cat > "$page/around.html" << HTML
<!DOCTYPE html><iframe src="tried.html" style="width: ${width}px; height: 900px; border: 0"></iframe><p></p>
<script>onmessage = function (event) { document.querySelector('p').textContent = event.data; };</script>
HTML
    # On a busy machine Chromium sometimes ends before the page has answered.
    for _ in 1 2 3 4; do
        browse --dump-dom "file://$page/around.html" > "$folder/dom.html"
        answer=$(sed -n 's/.*<p>\(.*\)<\/p>.*/\1/p' "$folder/dom.html")
        [ -z "$answer" ] || break
    done
    check "in a window of $width" "$width wide: all right" "$answer"
    check "messages on the console" "" "$(grep CONSOLE "$folder/messages" || true)"
    [ -z "${KEEP:-}" ] || browse --window-size=$width,3000 --screenshot="$KEEP/report-$width.png" \
        "file://$page/report.html"
done
finish report_in_browser
