-- The table `ops` of a trace: its last iteration that another one follows, as CSV: seconds of forward, of backward with
-- the gradients' way to the CPU, of the step until the next forward begins, and of all.
WITH last AS (SELECT max(iteration) AS next FROM ops)
SELECT printf('%.6f,%.6f,%.6f,%.6f', forward - begun, backward - forward, ended - backward, ended - begun) FROM
    (SELECT min(iif(kind = 'FWD' AND iteration = next - 1, start_s, NULL)) AS begun,
        max(iif(kind = 'FWD' AND iteration = next - 1, end_s, NULL)) AS forward,
        max(iif((kind IN ('BWD', 'COMPRESS') OR (kind = 'D2H' AND variant = 0)) AND iteration = next - 1, end_s, NULL))
            AS backward,
        min(iif(kind = 'FWD' AND iteration = next, start_s, NULL)) AS ended FROM ops, last);
