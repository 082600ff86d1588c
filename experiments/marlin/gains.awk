# peak.csv profile.csv host.csv paper: the speed-up of each by rows, as CSV; empty: not known.
FNR == 1 { file++ }
file == 4 { if ($1 ~ /^[0-9]/) authors[$1] = $2; next }
FNR == 1 { csv_header($0); next }
{
    csv_row($0); r = get("rows"); time[file, get("policy"), r] = get("token_s")
    if (file == 1 && get("policy") == "marlin") rows[++count] = r
}
function gain(file, r) {
    return (file, "marlin", r) in time ? time[file, "resident", r] / time[file, "marlin", r] : ""
}
END {
    print "rows,peak,profile,host,authors"
    for (i = 1; i <= count; i++) {
        r = rows[i]
        print r "," gain(1, r) "," gain(2, r) "," gain(3, r) "," (r in authors ? authors[r] : "")
    }
}
