-- Nothing is added to what a signed window was made of, either. Additive.

CREATE FUNCTION signed_window_gains_nothing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM windows WHERE window_id = NEW.window_id AND state IN ('signed', 'published')) THEN
        RAISE EXCEPTION 'nothing is added to a signed window in %', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

DO $$
DECLARE kept text;
BEGIN
    FOREACH kept IN ARRAY ARRAY['window_exposures', 'line_chunks', 'tallies', 'nets', 'statements', 'obligations',
        'adjustments', 'payments', 'releases'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE INSERT ON %I FOR EACH ROW EXECUTE FUNCTION signed_window_gains_nothing()', kept || '_complete', kept);
    END LOOP;
END $$;
