#!/bin/bash
# site.sh FOLDER - the documents as web pages in FOLDER, which works from file:// and on any server: README.md becomes
# index.html, every other .md a page beside its pictures, with all pages in a bar.  Ends with an error if a link leads
# nowhere.  Needs lowdown (Debian: lowdown).
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,4s/^# //p' "$0"; exit 2; }
source_dir=$(cd "$(dirname "$0")/.." && pwd)
export LC_ALL=C
command -v lowdown > /dev/null || { echo "site.sh: lowdown is missing (Debian: lowdown)" >&2; exit 77; }
mkdir -p "$1"
site=$(cd "$1" && pwd)

# "1 docs/training.md": the pages in the order of the bar.
pages() {
    cd "$source_dir"
    ls README.md docs/first-prediction.md
    find docs -name '*.md' ! -name first-prediction.md | sort
    ls experiments/README.md
    find experiments -mindepth 2 -name README.md | sort
    ls contrib/README.md CHANGELOG.md
}

mapfile -t pages < <(pages)
titles=()
for page in "${pages[@]}"; do
    titles+=("$(sed -n "s/^# *//p" "$source_dir/$page" | head -n 1 |
        sed -e "s/\`//g" -e "s/&/\\&amp;/g" -e "s/</\\&lt;/g")")
done

# page_of FILE: sets `target`.
page_of() {
    target=${1%.md}.html
    [ "$1" != README.md ] || target=index.html
}

bar() { # of page $1, from which $2 leads up to the site's folder
    local i target class current
    echo '<nav aria-label="pages"><ul>'
    for i in "${!pages[@]}"; do
        page_of "${pages[i]}"
        class='' current=''
        [[ ${pages[i]} != experiments/*/* ]] || class=' class="part"'
        [ "${pages[i]}" != "$1" ] || current=' aria-current="page"'
        echo "<li$class><a href=\"$2$target\"$current>${titles[i]}</a></li>"
    done
    echo '</ul></nav>'
}

write_page() { # number $1
    local file=${pages[$1]} up target
    page_of "$file"
    up=$(dirname "$file" | sed -e 's,^\.$,,' -e 's,[^/][^/]*,..,g' -e 's,$,/,' -e 's,^/$,,')
    mkdir -p "$site/$(dirname "$target")"
    {
        echo '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        echo '<meta name="viewport" content="width=device-width, initial-scale=1">'
        echo "<title>${titles[$1]} - lspo</title>"
        echo "<link rel=\"stylesheet\" href=\"${up}style.css\"></head><body>"
        bar "$file" "$up"
        echo '<main>'
        lowdown -Thtml "$source_dir/$file" | sed -E \
            -e 's,href="((\.\./)*)README\.md,href="\1index.html,g' -e 's,(href="[^":]*)\.md(["#]),\1.html\2,g'
        echo '</main></body></html>'
    } > "$site/$target"
}

cat > "$site/style.css" <<'END'
body { margin: 0; display: flex; font: 16px/1.5 "DejaVu Sans", Verdana, sans-serif; color: #1a1a1a; background: #fff }
nav { flex: 0 0 17em; height: 100vh; position: sticky; top: 0; overflow: auto; background: #f2f4f6; font-size: 14px }
nav ul { list-style: none; margin: 0; padding: 1em } nav li { margin: .3em 0 } nav .part { padding-left: 1em }
nav a { color: #004a75; text-decoration: none } nav a:hover { text-decoration: underline }
nav a[aria-current] { font-weight: bold; color: #1a1a1a }
main { flex: 1; min-width: 0; max-width: 60em; padding: 1em 2em 4em }
a { color: #00598c } img { max-width: 100% } h1, h2, h3 { line-height: 1.25 }
pre { background: #f2f4f6; padding: .8em; overflow: auto } code { font: 14px/1.4 "DejaVu Sans Mono", monospace }
table { border-collapse: collapse; display: block; overflow: auto }
td, th { border: 1px solid #c8ccd0; padding: .3em .6em; text-align: left; vertical-align: top }
@media (max-width: 50em) {
    body { display: block } nav { height: auto; position: static; max-height: 12em } main { padding: 1em }
}
@media print { nav { display: none } main { max-width: none } pre { white-space: pre-wrap } }
END
for i in "${!pages[@]}"; do
    write_page "$i"
done

# What pages link to beside pages: pictures, examples, the licence.
missing=0
while IFS=: read -r page link; do
    folder=$(dirname "$page")
    [ ! -e "$site/$folder/$link" ] || continue
    if [ -f "$source_dir/$folder/$link" ]; then
        mkdir -p "$site/$folder/$(dirname "$link")"
        cp "$source_dir/$folder/$link" "$site/$folder/$link"
    else
        echo "$page: a link to $link, which is not there" >&2
        missing=1
    fi
done < <(cd "$site" && find . -name '*.html' -exec grep -oHE '(href|src)="[^"#]+' {} + |
    sed -E 's,^\./,,; s,:(href|src)=",:,' | grep -vE ':(https?|mailto):' | sort -u)
# An anchor is the id of a heading there.
while IFS=: read -r page link; do
    target=$(dirname "$page")/${link%%#*}
    [ -n "${link%%#*}" ] || target=$page
    grep -qF "id=\"${link#*#}\"" "$site/$target" || {
        echo "$page: a link to $link, which is no heading there" >&2
        missing=1
    }
done < <(cd "$site" && find . -name '*.html' -exec grep -oHE 'href="[^":]*#[^"]+' {} + |
    sed -E 's,^\./,,; s,:href=",:,' | sort -u)
exit $missing
