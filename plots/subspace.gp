# Lines: the cost of d and r of lsp, in time and in GPU memory.
width = 820; height = 420
load plots."/style.gp"
file = data."/subspace.csv"
nonzeros = system("awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == \"nnz\") at = i; next } !seen[$at]++ { print $at }' '".file."'")
array shade[8] = [blue, orange, green, red, sky, pink, yellow, grey]
set logscale x 2
set xlabel "subspace size d"
set xrange [110:4800]
set yrange [0:*]
set multiplot title note
set tmargin at screen 0.85; set bmargin at screen 0.15
set lmargin at screen 0.08; set rmargin at screen 0.42
set title "slowdown against native"
unset key
plot for [i=1:words(nonzeros)] file using (column("nnz") == word(nonzeros, i) ? column("subspace") : NaN):"slowdown" \
    with linespoints pointtype (i+4) pointsize 0.7 linewidth 1.6 linecolor rgb shade[i] title "r = ".word(nonzeros, i)
set lmargin at screen 0.50; set rmargin at screen 0.84
set title "peak GPU memory (GiB)"
set key at screen 0.99, screen 0.85 right top vertical Left reverse
plot for [i=1:words(nonzeros)] file using (column("nnz") == word(nonzeros, i) ? column("subspace") : NaN):(column("peak_gpu_bytes")/2**30) \
    with linespoints pointtype (i+4) pointsize 0.7 linewidth 1.6 linecolor rgb shade[i] title "r = ".word(nonzeros, i)
unset multiplot
