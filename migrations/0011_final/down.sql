DO $$
DECLARE kept text;
BEGIN
    FOREACH kept IN ARRAY ARRAY['windows', 'window_exposures', 'line_chunks', 'tallies', 'nets', 'statements', 'statement_signatures',
        'log_leaves', 'checkpoints', 'cosignatures', 'adjustments', 'adjustment_requests', 'obligations', 'payments', 'releases',
        'disputes', 'dispute_answers', 'dispute_decisions', 'estimates', 'reported_points'] LOOP
        EXECUTE format('DROP TRIGGER %I ON %I', kept || '_stay', kept);
    END LOOP;
END $$;
DROP TRIGGER cosignatures_final ON cosignatures;
DROP TRIGGER adjustment_requests_final ON adjustment_requests;
DROP FUNCTION adjustment_request_is_final;
DROP TRIGGER obligations_final ON obligations;
DROP FUNCTION obligation_is_final;
DROP TRIGGER nets_final ON nets;
DROP FUNCTION net_is_final;
DROP TRIGGER window_exposures_final ON window_exposures;
DROP TRIGGER tallies_final ON tallies;
DROP FUNCTION of_signed_window_is_final;
CREATE OR REPLACE FUNCTION statement_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - ARRAY['state', 'state_at'] <> to_jsonb(OLD) - ARRAY['state', 'state_at'] THEN
        RAISE EXCEPTION 'a statement is never changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION published_window_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (OLD.state IN ('signed', 'published')
       AND to_jsonb(NEW) - ARRAY['state', 'published_at'] <> to_jsonb(OLD) - ARRAY['state', 'published_at']) THEN
        RAISE EXCEPTION 'a signed window is never changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
