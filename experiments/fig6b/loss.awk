# From a training's metrics the bias of the projectors that it began with, from its result the held-out loss.
FNR == 1 { csv_header($0); files++; next }
{ csv_row($0) }
files == 1 { if (get("bias_fitted") != "") bias = get("bias_fitted"); next }
{ print key "," bias "," get("held_out_after") }
END { if (aborted || bias == "") exit 2 }
