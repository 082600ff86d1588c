# Lines: slowdown of every policy against the bandwidth of the link, two machines side by side.
width = 820; height = 400
load plots."/style.gp"
file = data."/columns.csv"
# Policies are the columns from the third on.
columns = int(system("awk -F, 'NR == 1 { print NF }' '".file."'"))
array shade[9] = [black, red, pink, orange, sky, green, blue, yellow, grey]
array mark[9] = [7, 5, 9, 11, 13, 5, 7, 9, 11]
set logscale xy 2
set xrange [0.9:72]
set xlabel "link each way (GB/s)"
set format y "%g"
models = "llama-7b gpt2-774m"
titles = "llama-7b, batch 8, paper-workstation|gpt2-774m, batch 4, paper-laptop"
set multiplot
set tmargin at screen 0.91; set bmargin at screen 0.14
do for [k=1:2] {
    model = word(models, k)
    set lmargin at screen (k == 1 ? 0.075 : 0.47); set rmargin at screen (k == 1 ? 0.41 : 0.805)
    set title (k == 1 ? "llama-7b, batch 8, paper-workstation" : "gpt2-774m, batch 4, paper-laptop")
    if (k == 1) { set ylabel "slowdown against native" } else { unset ylabel }
    if (k == 2) { set key at screen 0.99, screen 0.9 right top vertical Left reverse } else { unset key }
    plot for [i=3:columns] file using (strcol(1) eq model ? column(2) : NaN):i with linespoints pointtype mark[(i-3)%9+1] \
        pointsize 0.7 linewidth 1.6 linecolor rgb shade[(i-3)%9+1] title columnheader(i)
}
unset multiplot
