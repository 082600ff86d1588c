#!/bin/sh
# extract_page.sh PAGE SOURCE FOLDER: write the code of docs/adding-a-policy.md into FOLDER, as the page says where it
# belongs: a block "file=NAME" is that file; a block "row=NAME" goes into a copy of the source's NAME, in a header
# before its last line, in a C file as the first row of its table, in a local.am at the end.
set -eu
page=$1 source_dir=$2 folder=$3
rm -rf "$folder"

# The lines of the block whose opening fence ends with $1.
block() {
    awk -v wanted="$1" '/^```/ { inside = !inside && $NF == wanted; next } inside' "$page"
}

for name in $(sed -n 's/^```[a-z]* file=//p' "$page"); do
    mkdir -p "$folder/$(dirname "$name")"
    block "file=$name" > "$folder/$name"
done
for name in $(sed -n 's/^```[a-z]* row=//p' "$page"); do
    mkdir -p "$folder/$(dirname "$name")"
    block "row=$name" > "$folder/row"
    case $name in
    *.h) sed '$d' "$source_dir/$name" && cat "$folder/row" && tail -n 1 "$source_dir/$name" ;;
    *.c) sed "/^static const .*\[\] = {\$/r $folder/row" "$source_dir/$name" ;;
    *) cat "$source_dir/$name" "$folder/row" ;;
    esac > "$folder/$name"
    # A row that found no place would be missed much later.
    [ "$(grep -cF "$(cat "$folder/row")" "$folder/$name")" = 1 ] || { echo "$name: no place for its row" >&2; exit 1; }
done
rm -f "$folder/row"
