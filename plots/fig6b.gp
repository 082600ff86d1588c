# Lines: bias on held-out gradients against r, a panel a subspace size; means over the weights of a block.
width = 860; height = 460
load plots."/style.gp"
file = data."/mean.csv"
sizes = system("awk -F, 'NR > 1 && !seen[$1]++ { print $1 }' '".file."'")
n = words(sizes)
set logscale x 2
set xlabel "r; all methods at the GPU memory of r nonzeros a row"
set yrange [0:1.05]
set multiplot layout 1,n
set bmargin 9
do for [i=1:n] {
    set title "d = ".word(sizes, i)
    if (i == 1) { set ylabel "relative bias on held-out gradients" } else { unset ylabel }
    if (i == n) { set key at screen 0.5, screen 0.02 center bottom horizontal Left reverse maxcols 5 width -2 } else { unset key }
    d = word(sizes, i)
    plot file using (column("d") == d ? column("r") : NaN):"random" with linespoints pointtype 5 linecolor rgb grey title "random, best scale", \
        '' using (column("d") == d ? column("r") : NaN):"learned" with linespoints pointtype 7 linecolor rgb blue title "learned", \
        '' using (column("d") == d ? column("r") : NaN):"galore" with linespoints pointtype 9 linecolor rgb orange title "GaLore, equal bytes", \
        '' using (column("d") == d ? column("r") : NaN):"galore_formula" with linespoints pointtype 8 linecolor rgb orange dashtype 2 title "GaLore, equal numbers", \
        '' using (column("d") == d ? column("r") : NaN):"floor" with lines linecolor rgb black dashtype 3 title "SVD floor at rank d"
}
unset multiplot
