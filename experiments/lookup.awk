# The value beside `key`.
FNR == 1 { csv_header($0); next }
{ csv_row($0); if (get("key") == key) { print get("value"); found = 1 } }
END { if (!found) { print "there is no " key > "/dev/stderr"; exit 2 } }
