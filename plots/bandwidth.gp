# Lines: slowdown of every policy against the bandwidth of the link, two machines side by side.
width = 860; height = 420
load plots."/style.gp"
file = data."/columns.csv"
# Policies are the columns from the third on.
header = system("head -1 '".file."' | tr , ' '")
models = system("awk -F, 'NR > 1 && !seen[$1]++ { print $1 }' '".file."'")
set logscale xy 2
set xrange [0.9:72]
set xlabel "link each way (GB/s)"
set format y "%g"
set multiplot title "Slowdown of every policy against the link, simulated".(exists("note") ? ": ".note : "")
set tmargin at screen 0.86; set bmargin at screen 0.13
do for [k=1:words(models)] {
    model = word(models, k)
    set lmargin at screen (k == 1 ? 0.09 : 0.47); set rmargin at screen (k == 1 ? 0.41 : 0.79)
    set title value("title_".k)
    if (k == 1) { set ylabel "slowdown against native" } else { unset ylabel }
    if (k == 2) { set key at screen 0.99, screen 0.87 right top vertical Left reverse } else { unset key }
    plot for [i=3:words(header)] file using (strcol(1) eq model ? column(2) : NaN):i with linespoints \
        pointtype mark_of(word(header, i)) pointsize 1.0 linewidth 1.6 linecolor rgb colour_of(word(header, i)) title word(header, i)
}
unset multiplot
