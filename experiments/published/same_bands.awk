# Prints how two files of bands differ: groups, and numbers by more than what another compiler may round.
FNR == 1 { csv_header($0); file++; next }
{
    csv_row($0)
    key = get("kind") " " get("framework") " " get("machine")
    for (i = split("rows mean_error low high", names, " "); i > 0; i--)
        value[file, key, names[i]] = get(names[i])
    seen[key] += file
}
END {
    for (key in seen) {
        if (seen[key] != 3)
            print key ": only in one of the files"
        for (i in names) {
            difference = value[1, key, names[i]] - value[2, key, names[i]]
            if (difference > 0.0021 || difference < -0.0021)
                print key ": " names[i] " " value[1, key, names[i]] " and " value[2, key, names[i]]
        }
    }
}
