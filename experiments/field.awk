# One column of a CSV, one line per row.
FNR == 1 { csv_header($0); next }
{ csv_row($0); print get(name) }
