# One column of a CSV, one line per row; with -v where=COLUMN -v is=VALUE of the rows with this value.
FNR == 1 { csv_header($0); next }
{ csv_row($0) }
where == "" || get(where) == is { print get(name) }
