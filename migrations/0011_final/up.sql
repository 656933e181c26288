-- What is signed stays, whoever asks: a signed window leads nowhere but to published, what its statements were made of is
-- as final as they are, and no table of it is emptied at once. Additive.

CREATE OR REPLACE FUNCTION published_window_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (OLD.state = 'published' AND to_jsonb(NEW) <> to_jsonb(OLD))
       OR (OLD.state = 'signed' AND (NEW.state NOT IN ('signed', 'published')
           OR to_jsonb(NEW) - ARRAY['state', 'published_at'] <> to_jsonb(OLD) - ARRAY['state', 'published_at'])) THEN
        RAISE EXCEPTION 'a signed window is never changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION statement_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - ARRAY['state', 'state_at'] <> to_jsonb(OLD) - ARRAY['state', 'state_at']
       OR (NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (('published', 'acknowledged'), ('published', 'deemed'),
           ('published', 'disputed'), ('acknowledged', 'disputed'), ('deemed', 'acknowledged'), ('disputed', 'acknowledged'),
           ('disputed', 'published'))) THEN
        RAISE EXCEPTION 'a statement is never changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION of_signed_window_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM windows WHERE window_id = OLD.window_id AND state IN ('signed', 'published')) THEN
        RAISE EXCEPTION 'what a signed window was made of in % is never changed', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER tallies_final BEFORE UPDATE OR DELETE ON tallies FOR EACH ROW EXECUTE FUNCTION of_signed_window_is_final();
CREATE TRIGGER window_exposures_final BEFORE UPDATE OR DELETE ON window_exposures FOR EACH ROW EXECUTE FUNCTION of_signed_window_is_final();

CREATE FUNCTION net_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Released once, at signing or by a payment.
    IF (TG_OP = 'DELETE' OR OLD.released IS NOT NULL OR to_jsonb(NEW) - 'released' <> to_jsonb(OLD) - 'released')
       AND EXISTS (SELECT FROM windows WHERE window_id = OLD.window_id AND state IN ('signed', 'published')) THEN
        RAISE EXCEPTION 'the nets of a signed window are never changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER nets_final BEFORE UPDATE OR DELETE ON nets FOR EACH ROW EXECUTE FUNCTION net_is_final();

CREATE FUNCTION obligation_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.paid < OLD.paid OR (OLD.overdue_at IS NOT NULL AND NEW.overdue_at IS DISTINCT FROM OLD.overdue_at)
       OR to_jsonb(NEW) - ARRAY['paid', 'paid_at', 'overdue_at'] <> to_jsonb(OLD) - ARRAY['paid', 'paid_at', 'overdue_at'] THEN
        RAISE EXCEPTION 'an obligation is only ever paid' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER obligations_final BEFORE UPDATE OR DELETE ON obligations FOR EACH ROW EXECUTE FUNCTION obligation_is_final();

CREATE FUNCTION adjustment_request_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state <> 'asked'
       OR to_jsonb(NEW) - ARRAY['state', 'settled_by', 'settled_at'] <> to_jsonb(OLD) - ARRAY['state', 'settled_by', 'settled_at'] THEN
        RAISE EXCEPTION 'an adjustment that was asked for is settled once and never changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER adjustment_requests_final BEFORE UPDATE OR DELETE ON adjustment_requests FOR EACH ROW EXECUTE FUNCTION adjustment_request_is_final();

CREATE TRIGGER cosignatures_final BEFORE UPDATE OR DELETE ON cosignatures FOR EACH ROW EXECUTE FUNCTION signed_is_final();

-- Triggers of rows do not see a table being emptied.
DO $$
DECLARE kept text;
BEGIN
    FOREACH kept IN ARRAY ARRAY['windows', 'window_exposures', 'line_chunks', 'tallies', 'nets', 'statements', 'statement_signatures',
        'log_leaves', 'checkpoints', 'cosignatures', 'adjustments', 'adjustment_requests', 'obligations', 'payments', 'releases',
        'disputes', 'dispute_answers', 'dispute_decisions', 'estimates', 'reported_points'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION signed_is_final()', kept || '_stay', kept);
    END LOOP;
END $$;
