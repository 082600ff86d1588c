#!/usr/bin/env bash
# lspo sql: CSV as tables, functions against values worked out by hand, verdicts, and what is refused with its line.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$folder"
sql() { "$program" sql "$@"; }

printf '%s\n' 'name,value,text' a,1,x b,2, c,4,nan 'd,8,"one, ""two"""' > rows.csv
code=$(status_of sql -e "select 1" rows.csv)
if [ "$code" = 2 ] && grep -q 'built without SQLite' messages; then
    echo "built without SQLite: nothing to test"
    exit 77
fi

# ---- tables ----
check "numbers are reals" "0.25 0.5 1" "$(sql -e "select value / 4 from rows where value < 8" rows.csv | xargs)"
check "whole numbers have no point" "8 1000000 2147483648" \
    "$(printf 'x\n8.0\n1e6\n2147483648\n' | sql -e "select x from input" input=/dev/stdin | xargs)"
check "no value is NULL" 2 "$(sql -e "select count(*) from rows where text is null" rows.csv)"
check "a quoted text" 'd one, "two"' "$(sql -e "select name, text from rows where value = 8" rows.csv)"
check "infinity" "1 1" \
    "$(printf 'x\ninf\n-inf\n' | sql -e "select x = 9e999 or x = -9e999 from i" i=/dev/stdin | xargs)"
check "a digit is no number in a text" "1.2.3 -" \
    "$(printf 'x\n1.2.3\n-\n' | sql -e "select x from i" i=/dev/stdin | xargs)"
mkdir tables && cp rows.csv tables/ && echo broken,broken > tables/other.csv
check "of a folder the tables that are mentioned" 4 "$(sql -e "select count(*) from rows" tables)"
check "a name of one's own" 4 "$(sql -e "select count(*) from mine" mine=rows.csv)"

# ---- functions: 1 2 4 8 ----
value_of() { sql -e "select $1 from rows" rows.csv; }
check "median" 3 "$(value_of "median(value)")"
check "of an odd number" 2 "$(value_of "median(iif(value < 8, value, NULL))")"
check "quantiles, rank q (n - 1)" "1 1.75 8" \
    "$(value_of "quantile(value, 0), quantile(value, 0.25), quantile(value, 1)")"
check "geometric mean, 64 ^ 1/4" 2.82842712 "$(value_of "geomean(value)")"
# 1 2 4 8: mean 3.75, s = sqrt(28.75 / 3) = 3.09570, t(0.975, 3) = 3.18245 (tables), so 3.75 -+ 4.9259.
check "the interval of the mean" "-1.1759 8.6759" "$(value_of "printf('%.4f %.4f', low95(value), high95(value))")"
# 1 2: 1.5 -+ 12.70620 * 0.70711 / sqrt(2) = 1.5 -+ 6.35310
check "that of two" "-4.8531 7.8531" \
    "$(value_of "printf('%.4f %.4f', low95(iif(value < 3, value, NULL)), high95(iif(value < 3, value, NULL)))")"
check "equal values have none to speak of" "2 2" "$(value_of "low95(2), high95(2)")"
check "one value has none" "1 1" "$(sql -e "select low95(value) is null, high95(value) is null from rows
    where value = 1" rows.csv)"
check "a text has no mean" "2 1" "$(status_of value_of "low95(name)") $(grep -c 'a value that is none' messages)"
check "a limit within the interval of three runs, ends included" "1 1 1 0 0" "$(sql -e "select undecided(1, 3, 3, 2),
    undecided(1, 3, 3, 1), undecided(1, 3, 9, 3), undecided(1, 3, 3, 0.9), undecided(1, 3, 3, 3.1)" rows.csv)"
check "two runs, an unknown number, no width, no interval, no limit" "0 1 0 0 0" "$(sql -e "select
    undecided(1, 3, 2, 2),
    undecided(1, 3, NULL, 2), undecided(2, 2, 3, 2), undecided(NULL, NULL, 3, 2), undecided(1, 3, 3, NULL)" rows.csv)"
check "undecided of a text" "2 1" \
    "$(status_of value_of "undecided(1, 3, 3, name)") $(grep -c 'a value is not a number' messages)"
check "pick" c "$(value_of "pick(name, value = 4)")"
check "pick nothing" - "$(value_of "coalesce(pick(name, value = 5), '-')")"
check "pick of two" "2 1" "$(status_of value_of "pick(name, value > 2)") $(grep -c 'holds for two rows' messages)"
# Pairs of x that differ: 5 of 6; y agrees in 3 of them, disagrees in 1, and is equal in 1.
printf 'x,y\n1,1\n2,2\n2,5\n3,2\n' > pairs.csv
check "Kendall's tau" 0.4 "$(sql -e "select tau(x, y) from pairs" pairs.csv)"
check "every" "1 0 0 0" "$(value_of "every(value > 0), every(value > 1), every(text > ''), every(NULL)")"
check "every row of none" 1 "$(sql -e "select every(1) is null from rows where value > 9" rows.csv)"
check "aggregates of nothing" "1 1 1 1 1" \
    "$(sql -e "select median(x) is null, quantile(x, 1) is null, geomean(x) is null, tau(x, y) is null,
        pick(x, 1) is null from pairs where x > 9" pairs.csv)"
check "a text has no median" "2 1" "$(status_of value_of "median(name)") $(grep -c 'a value that is none' messages)"
check "0 has no geometric mean" "2 1" "$(status_of value_of "geomean(value - 1)") $(grep -c 'not above 0' messages)"
check "there is no quantile 2" "2 1" "$(status_of value_of "quantile(value, 2)") $(grep -c 'not within 0' messages)"
check "given" "0.5 a=b" "$(sql -e "select given('x') / 4, given('y')" rows.csv --given x=2 --given y=a=b)"
check "nothing given" "2 1" "$(status_of value_of "given('x')") $(grep -c 'no --given' messages)"

# ---- claims ----
cat > claims.sql << 'END'
-- A comment; with a semicolon.
select printf('  %-4s %5.1f', name, value) from rows where value > 2;
require select value > 1, printf('%s is %g', name, value) from rows; /* one row each */
OBSERVE SELECT sum(value) > 20, 'the sum is large' FROM rows;
require select missing < 1, 'a missing value does not hold' from (select NULL as missing);
write large as select name, value * 1.5 as "the value" from rows where value > 2 order by value desc;
require select count(*) = 2, 'two are large' from large;
require select 1, 'never said' from large where "the value" > 100
END
check "claims that fail" 1 "$(status_of sql claims.sql rows.csv)"
check "what they print" "  c      4.0
  d      8.0
  FAILS a is 1
  holds b is 2
  holds c is 4
  holds d is 8
  no    the sum is large
  FAILS a missing value does not hold
  holds two are large
  FAILS claims.sql:8 has no rows to judge" "$(cat stdout)"
check "errors behind them, where both go to one file" "lspo: error: claims.sql: 3 of 7 claims do not hold" \
    "$(sql claims.sql rows.csv 2>&1 | tail -n 1)"
check "how many" "lspo: error: claims.sql: 3 of 7 claims do not hold" "$(cat messages)"
check "limits within the interval" "1
  undecided as texts [95 %: -1 % to 2 %]
  undecided of three runs [95 %: -1 to 2]
  FAILS of two runs [95 %: -1 to 2]
  yes   of two runs [95 %: -1 to 2]
  FAILS below as it is, not as it is printed [95 %: -3 % to 0 %]
  undecided at an end [95 %: 1 to 2]
  yes   below it [95 %: 1 to 2]
  no    above it [95 %: 1 to 2]
  undecided of nobody knows how many [95 %: 1 to 2]
  holds no width [95 %: 1 to 1]
  holds alone [one run]
  FAILS unknown [95 %: -1 to 2]
  FAILS not held to it [95 %: -1 to 2]" "$(status_of sql -e "require select 0, 'as texts', '-1', '2', '3', '0', '%';
    require select 0, 'of three runs', -1, 2, 3, 0;
    require select 0, 'of two runs', -1, 2, 2, 0;
    observe select 1, 'of two runs', -1, 2, 2, 0;
    require select 0, 'below as it is, not as it is printed', -3, -0.01, 3, 0, '%';
    observe select 1, 'at an end', 1, 2, 3, 2;
    observe select 1, 'below it', 1, 2, NULL, 2.1;
    observe select 0, 'above it', 1, 2, 3, 0.9;
    observe select 0, 'of nobody knows how many', 1, 2, NULL, 1.5;
    require select 1, 'no width', 1, 1, 3, 1;
    require select 1, 'alone', NULL, NULL, 1, 0;
    require select NULL, 'unknown', -1, 2, 3, 0;
    require select 0, 'not held to it', -1, 2, 3, NULL" rows.csv)
$(cat stdout)"
check "an undecided claim is no failure" 0 "$(status_of sql -e "require select 0, 'so', -1, 2, 3, 0" rows.csv)"
check "claims with intervals" "  holds the mean [95 %: -1.2 to 8.7]
  yes   of one [one run]
  yes   of none [no run]
  yes   of nobody knows how many
  FAILS with a unit [95 %: -1 % to 2 %]" "$(sql -e "require select 1, 'the mean', low95(value), high95(value), count(*)
        from rows;
    observe select 1, 'of one', low95(value), high95(value), count(*) from rows where value = 1;
    observe select 1, 'of none', low95(value), high95(value), count(value) from rows where value is null;
    observe select 1, 'of nobody knows how many', low95(value), high95(value) from rows where value = 1;
    require select 0, 'with a unit', -1, 2, NULL, NULL, '%'" rows.csv 2> messages)"
# 100.1 100.2 100.3: 100.2 -+ 4.30265 * 0.1 / sqrt(3) = 100.2 -+ 0.24841
printf 'x\n100.1\n100.2\n100.3\n' > close.csv
interval() { sql -e "observe select 1, 'x', $1 from close limit 1" close.csv | sed 's/.*95 %: \(.*\)]/\1/'; }
check "digits follow the width" "99.95 to 100.45" "$(interval "low95(x), high95(x)")"
check "of large numbers" "1230000 to 1570000" "$(interval "1234567, 1567890")"
check "of small ones" "1.2e-09 to 3.5e-09" "$(interval "1.23e-9, 3.46e-9")"
check "of hardly 0" "0 to 1" "$(interval "-1e-17, 1")"
check "of no width" "2.5 to 2.5" "$(interval "2.5, 2.5")"
check "a table" "name,the value d,12 c,6" "$(xargs < large.csv)"
check "claims that hold" 0 "$(status_of sql -e "require select 1, 'so it is'" rows.csv)"
mkdir elsewhere
check "written elsewhere, in place of an older one" "0 name b" \
    "$(echo 'name' > elsewhere/large.csv; echo old >> elsewhere/large.csv
    status_of sql -e "write large as select name from rows where value = 2" rows.csv elsewhere -o elsewhere) $(
    xargs < elsewhere/large.csv)"

# ---- what is refused: status 2, and the message ----
refused() { # NAME MESSAGE SQL [SOURCE...]
    local name=$1 message=$2
    shift 2
    printf '%s\n' "$1" > script.sql
    shift
    check "$name" "2 lspo: error: $message" "$(status_of sql script.sql "$@") $(head -1 messages)"
}
refused "an unknown column" "script.sql:3: no such column: speed" $'select 1;\n\nselect speed from rows;' rows.csv
refused "a text in double quotes" "script.sql:1: no such column: a" 'select value from rows where name = "a";' rows.csv
refused "an unknown table" "script.sql:1: no such table: others" "select * from others;" rows.csv
refused "a word that is wrong" 'script.sql:2: near "rows": syntax error' \
    $'select 1;\nselect value form rows where 1;' rows.csv
echo name > empty.csv
refused "no rows" "empty.csv: there are no rows below the header" "select 1;" empty.csv
refused "two tables of a name" \
    "./rows.csv as table 'rows': table \"rows\" already exists" "select 1;" rows.csv ./rows.csv
refused "a claim without a sentence" "script.sql:1: a claim has 2 columns, verdict and sentence, or 4 with the ends of \
its interval, or 5 with its number of runs, or 6 with its limit, or 7 with its unit, not 1" "require select 1;" rows.csv
refused "a claim that is NULL" "script.sql:1: a claim's sentence is '', not a line of text" "require select 1, NULL;" \
    rows.csv
refused "half an interval" "script.sql:2: the interval of 'x' has only one end" \
    $'select 1;\nrequire select 1, \'x\', NULL, 2;' rows.csv
for ends in "3, 1" "'3', '1'"; do
    refused "a swapped interval" "script.sql:1: the interval of 'x' has a low end above its high end" \
        "require select 1, 'x', $ends;" rows.csv
done
for value in "''" "'zero'" "'5%x'" "'1 %'" "'nan'" "x'31'"; do
    refused "an end of $value" "script.sql:1: the interval of 'x' has a low end that is not a number" \
        "require select 1, 'x', $value, 2;" rows.csv
    refused "another one" "script.sql:1: the interval of 'x' has a high end that is not a number" \
        "require select 1, 'x', 1, $value;" rows.csv
    refused "so many runs" "script.sql:1: the interval of 'x' has a number of runs that is none" \
        "require select 1, 'x', 1, 2, $value;" rows.csv
    refused "such a limit" "script.sql:1: the interval of 'x' has a limit that is not a number" \
        "require select 0, 'x', -1, 2, 3, $value;" rows.csv
done
refused "an endless limit" "script.sql:1: the interval of 'x' has a limit that is not finite" \
    "require select 0, 'x', -1, 2, 3, '1e999';" rows.csv
for unit in "char(10)" "'[%'" "5" "x'25'"; do
    refused "a unit that breaks the line" "script.sql:1: the interval of 'x' has a unit that is not a line of text \
without brackets" "require select 1, 'x', 1, 2, 3, 0, $unit;" rows.csv
done
check "an empty cell is no limit, and hides no failure" 1 "$(printf 'low,high,most\n-1,2,\n' |
    status_of sql -e "require select 0, 'x', low, high, 3, most from i" i=/dev/stdin)"
refused "an endless interval" "script.sql:1: the interval of 'x' is not finite" "require select 1, 'x', 1, 9e999;" \
    rows.csv
refused "several runs without an interval" "script.sql:1: the interval of 'x' of more than one run has no ends" \
    "require select 1, 'x', NULL, NULL, 3;" rows.csv
refused "a claim that is no query" "script.sql:1: only a SELECT is written or judged" \
    "require create table t (x);" rows.csv
refused "a table without a name" "script.sql:1: WRITE needs the name of a table: a letter or _, then up to 62 \
letters, digits and _" "write '../x' as select 1;" rows.csv
refused "without AS" "script.sql:1: WRITE x is not followed by AS" "write x select 1;" rows.csv
refused "an end too early" "script.sql:2: the file ends where a SELECT should be" \
    $'select 1;\nrequire -- nothing' rows.csv
refused "a parameter" "script.sql:1: parameters have no values here; use given('name')" "select :x;" rows.csv
refused "another file" "script.sql:1: not authorized" "attach 'rows.db' as more;" rows.csv
refused "its own input" "script.sql:1: WRITE rows would overwrite the file of all=rows.csv" \
    "write rows as select 1;" all=rows.csv
refused "a function that fails" "script.sql:2: pick(x, condition): the condition holds for two rows" \
    $'select 1;\nselect pick(name, 1) from rows;' rows.csv
check "--given without a value" 2 "$(status_of sql -e "select 1" rows.csv --given x)"
check "a folder that is not there" 1 "$(status_of sql -e "write x as select 1" rows.csv -o nowhere)"
check "nothing else was written" "" \
    "$(ls | grep -v -e '\.csv$' -e '\.sql$' -e tables -e elsewhere -e stdout -e messages)"

finish sql
