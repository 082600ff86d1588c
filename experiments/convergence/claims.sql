-- Held-out loss against measured time.
WRITE convergence AS SELECT policy, losses.steps, iteration_s, held_out_before, losses.held_out_after
    FROM losses JOIN timed USING (policy)
    UNION ALL SELECT policy, steps, iteration_s, held_out_before, held_out_after FROM timed ORDER BY policy, steps;
CREATE VIEW trainings AS SELECT *, iteration_s * steps AS time_s FROM convergence;
SELECT printf('  %-14s %6s %12s %10s %10s', 'policy', 'steps', 'ms/step', 's', 'held-out');
SELECT printf('  %-14s %6d %12.2f %10.2f %10.4f', policy, steps, 1000 * iteration_s, time_s, held_out_after)
    FROM trainings;
SELECT printf('  nats per byte; %.4f before training', held_out_before) FROM convergence LIMIT 1;
CREATE VIEW last AS SELECT * FROM trainings WHERE steps = (SELECT max(steps) FROM convergence);
REQUIRE SELECT held_out_after < held_out_before, policy || ': held-out loss falls' FROM last;
REQUIRE SELECT pick(held_out_after, policy = 'native') = pick(held_out_after, policy = 'zero'),
    'zero''s loss is native''s, digit for digit: its schedule changes no number' FROM last;
REQUIRE SELECT pick(time_s, policy = 'lsp') < pick(time_s, policy = 'zero'),
    'the same steps take lsp less time than zero' FROM last;
