DO $$
DECLARE kept text;
BEGIN
    FOREACH kept IN ARRAY ARRAY['window_exposures', 'line_chunks', 'tallies', 'nets', 'statements', 'obligations',
        'adjustments', 'payments', 'releases'] LOOP
        EXECUTE format('DROP TRIGGER %I ON %I', kept || '_complete', kept);
    END LOOP;
END $$;
DROP FUNCTION signed_window_gains_nothing;
