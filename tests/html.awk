# html.awk - what is wrong with a page of lspo report, one line each: elements that are not closed in order, attributes
# that are not quoted or given twice, characters that must be written as references, ids given twice, links to places
# that are not there, addresses outside.  Scripts and style are not looked into.
BEGIN {
    split("meta br img link hr input", names, " ")
    for (i in names) is_void[names[i]] = 1
    RS = "\001"
}
function wrong(what) { print "line " line ": " what }
function next_line(text) { line += gsub(/\n/, "", text) }

# Attributes of an element as `attributes`.
function read_attributes(text,    name, value) {
    split("", attributes)
    while (match(text, /^[ \n]+[a-z-]+="[^"]*"/)) {
        name = value = substr(text, RSTART, RLENGTH)
        sub(/^[ \n]+/, "", name)
        sub(/=.*/, "", name)
        value = substr(value, index(value, "\"") + 1)
        sub(/"$/, "", value)
        if (name in attributes) wrong("attribute " name " twice")
        attributes[name] = value
        text = substr(text, RLENGTH + 1)
    }
    if (text !~ /^[ \n]*$/) wrong("attributes: " substr(text, 1, 60))
}

function check_text(text) {
    if (text ~ />/) wrong("a bare >")
    gsub(/&(amp|lt|gt|quot|#39);/, "", text)
    if (text ~ /&/) wrong("a bare &")
}

function open_element(name, text,    id) {
    read_attributes(text)
    for (id in attributes) check_text(attributes[id])
    if ("id" in attributes) {
        if (attributes["id"] in ids) wrong("id " attributes["id"] " twice")
        ids[attributes["id"]] = 1
    }
    if (attributes["href"] ~ /^#/) targets[substr(attributes["href"], 2)] = line
    if (name == "img" && !("alt" in attributes)) wrong("a picture without a text")
    if (attributes["src"] ~ /^[a-z]+:/ && attributes["src"] !~ /^data:/) wrong("address " attributes["src"])
    if (!(name in is_void)) stack[++depth] = name
}

{
    line = 1
    if ($0 !~ /^<!DOCTYPE html>\n<html lang="en">/) wrong("no HTML")
    rest = substr($0, index($0, "\n"))
    line = 1
    while ((at = index(rest, "<")) > 0) {
        text = substr(rest, 1, at - 1)
        check_text(text)
        next_line(text)
        rest = substr(rest, at)
        if (!match(rest, /^<\/?[a-z0-9]+/)) { wrong("a bare <"); rest = substr(rest, 2); continue }
        name = substr(rest, 2, RLENGTH - 1)
        close_at = index(rest, ">")
        inside = substr(rest, RLENGTH + 1, close_at - RLENGTH - 1)
        if (name ~ /^\//) {
            name = substr(name, 2)
            if (depth == 0 || stack[depth] != name) wrong("</" name "> closes <" stack[depth] ">")
            depth--
        } else {
            open_element(name, inside)
        }
        next_line(inside)
        rest = substr(rest, close_at + 1)
        if (name == "script" || name == "style") {
            end_at = index(rest, "</" name ">")
            if (stack[depth] == name) { next_line(substr(rest, 1, end_at - 1)); rest = substr(rest, end_at) }
        }
    }
    if (depth > 0) wrong("<" stack[depth] "> is not closed")
    for (target in targets) if (!(target in ids)) { line = targets[target]; wrong("no place #" target) }
}
