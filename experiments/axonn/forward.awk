# TRACE: seconds of forward of a block in the middle.
$0 ~ /^op,/ { csv_header($0); next }
has("op") && $0 ~ /^[0-9]/ {
    csv_row($0)
    if (get("kind") == "FWD" && get("layer") == 8) seconds = get("end_s") - get("start_s")
}
END {
    if (aborted || seconds <= 0) exit 2
    print seconds
}
