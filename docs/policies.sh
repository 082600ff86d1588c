#!/bin/sh
# Print docs/policies.md: the output of `lspo help POLICY` for every policy. 
#     LSPO=build/lspo docs/policies.sh > docs/policies.md
set -eu
lspo=${LSPO:-lspo}
export LC_ALL=C COLUMNS=80
cat << 'END'
# Policies

What each policy is and which options are its own, as `lspo help POLICY` says it; `docs/policies.sh` writes this page.
Options that all policies have are in `lspo sim --help`.
END
"$lspo" help --policies | while read -r policy; do
    printf '\n## %s\n\n' "$policy"
    "$lspo" help "$policy" | sed 's/^./    &/'
done
